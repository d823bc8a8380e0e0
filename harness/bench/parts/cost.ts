import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type { Bench, LoadedEngine } from '../bench.ts';
import { inTurns } from '../figures/rounds.ts';
import { alone, type Figure, median, rounded } from '../figures/statistics.ts';
import type { Table } from '../figures/result.ts';
import { cpuWhile } from '../ground/processes.ts';
import { openStatements, type StatementCounts } from '../servers/statements.ts';
import { closedLoop } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';
import { TASK_QUEUE } from '../../../workflows/messages.ts';

/** The wait after the last credit, for rows that are written later. */
const AFTERWARDS_MS = 2_500;

/** P14: the cost of fixed work, minus the cost of the idle engine in the same time. */
export const costPart: Part = {
  ids: ['P14'],
  seconds: { full: 240, quick: 75 },
  async measure(bench) {
    const loaded = await bench.engine();
    const cpu = await cpuOfDeposits(bench, loaded);
    const counts = bench.servers.hasStatements ? await countStatements(bench, loaded) : null;
    const archiving = await cpuOfArchiving(bench, loaded);
    const figures: Record<string, Figure> = { ...counts?.figures, ...cpu.figures, ...archiving.figures };
    const notes = counts === null ? ['This PostgreSQL has no pg_stat_statements: only CPU was counted.'] : [];
    return { P14: { figures, tables: [cpu.table, archiving.table, ...(counts?.tables ?? [])], notes } };
  },
};

type Counted = keyof Omit<StatementCounts, 'byText' | 'ms' | 'transactionsMs'>;
type Spent = Readonly<Record<string, number>>;
type Pids = Readonly<Record<string, readonly number[]>>;

async function cpuOfDeposits(bench: Bench, { engine, load }: LoadedEngine) {
  const floors = await bench.floors();
  const { count, inFlight, idleMs } = bench.scale.cost;
  bench.tell('CPU of the idle engine');
  const idle = await cpuWhile({ ...engine.pids(), floor: floors.pids().worker }, () => sleep(idleMs));
  const measured =
    (pids: () => Pids, one: (n: string) => Promise<void>, afterwardsMs: number, idleOf: (name: string) => number) =>
    async (): Promise<Spent> => {
      const startedMs = performance.now();
      const busy = await cpuWhile(pids(), async () => {
        await closedLoop(load.fresh(count), inFlight, one);
        await sleep(afterwardsMs);
      });
      const share = (performance.now() - startedMs) / idleMs;
      return Object.fromEntries(Object.entries(busy).map(([name, ms]) => [name, (ms - idleOf(name) * share) / count]));
    };
  const samples = await inTurns<'ours' | 'floor', Spent>(
    {
      ours: measured(engine.pids, load.whole, AFTERWARDS_MS, (name) => idle[name as 'api']),
      // Temporal has an idle share with and without an engine.
      floor: measured(floors.pids, floors.runEmpty, 0, (name) => (name === 'worker' ? idle.floor : idle.temporal)),
    },
    bench.scale.rounds,
    roundsTold(bench, 'CPU of a deposit'),
  );
  const all = (spent: Spent) => Object.values(spent).reduce((sum, ms) => sum + ms, 0);
  const by = (name: keyof typeof samples, process: string) => median(samples[name].map((spent) => spent[process] ?? 0));
  const processes = ['temporal', 'worker', 'api', 'postgres'];
  const rows = (['ours', 'floor'] as const).map((name) => [
    name,
    ...processes.map((process) => rounded(by(name, process))),
    rounded(median(samples[name].map(all))),
  ]);
  const beyond = samples.ours.map((spent, round) => all(spent) - all(samples.floor[round]!));
  const columns = ['flow', 'Temporal', 'worker', 'API', 'PostgreSQL', 'all'];
  return {
    table: { title: 'CPU ms of one deposit, idle taken off', columns, rows } satisfies Table,
    figures: {
      'CPU ms': alone(samples.ours.map(all), 'ms'),
      'CPU ms beyond the floor': alone(beyond, 'ms'),
    },
  };
}

/** More passes are needed only where a list of Temporal lags. */
const MOST_PASSES = 10;

/**
 * CPU of archiving what was made until now, for one deposit, minus that of the idle engine. Each workflow comes twice: to
 * be archived, and to be confirmed by a later list.
 */
async function cpuOfArchiving(bench: Bench, { engine }: LoadedEngine) {
  bench.tell('CPU of archiving');
  const due = () =>
    engine.admin(async (client) => {
      await client.query('update engine.archive_due set look_at = clock_timestamp()');
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from engine.archive_due');
      return rows[0]!.n;
    });
  const connection = await Connection.connect({ address: bench.servers.temporalAddress });
  try {
    const client = new Client({ connection, namespace: engine.database });
    const archive = { taskQueue: TASK_QUEUE, workflowId: 'archive', args: [] };
    const { idleMs } = bench.scale.cost;
    const idle = await cpuWhile(engine.pids(), () => sleep(idleMs));
    const count = await due();
    const startedMs = performance.now();
    const busy = await cpuWhile(engine.pids(), async () => {
      for (let pass = 0; (await due()) > 0; pass += 1) {
        if (pass === MOST_PASSES) throw new Error('the archive has not come to its end');
        await client.workflow.execute('archive', archive);
      }
    });
    const share = (performance.now() - startedMs) / idleMs;
    const spent = Object.entries(busy).map(([name, ms]) => [name, (ms - idle[name as 'api'] * share) / count] as const);
    const all = spent.reduce((sum, [, ms]) => sum + ms, 0);
    const title = `CPU ms of archiving one of ${count} deposits, idle taken off`;
    return {
      figures: { 'archiving CPU ms': alone([all], 'ms') },
      table: {
        title,
        columns: ['process', 'ms'],
        rows: spent.map(([name, ms]) => [name, rounded(ms)]),
      } satisfies Table,
    };
  } finally {
    await connection.close();
  }
}

async function countStatements(bench: Bench, { engine, load }: LoadedEngine) {
  const { count, inFlight, idleMs } = bench.scale.cost;
  const statements = await openStatements(bench.servers, engine.database);
  try {
    const idle = await statements.during(() => sleep(idleMs));
    const busy = await statements.during(async () => {
      await closedLoop(load.fresh(count), inFlight, load.whole);
      await sleep(AFTERWARDS_MS);
    });
    const each = (which: Counted, over: 'ms' | 'transactionsMs' = 'ms') =>
      (busy[which] - idle[which] * (busy[over] / idle[over])) / count;
    const rows = busy.byText
      .slice(0, 25)
      .map((one) => [
        rounded(one.calls / count),
        rounded(one.planningMs / count),
        rounded(one.executionMs / count),
        rounded(one.walBytes / count),
        `\`${one.text}\``,
      ]);
    const columns = ['calls', 'planning ms', 'execution ms', 'WAL bytes', 'statement'];
    return {
      figures: {
        'round trips': alone([each('calls')], 'statements'),
        transactions: alone([each('transactions', 'transactionsMs')], 'transactions'),
        'planning ms': alone([each('planningMs')], 'ms'),
        'execution ms': alone([each('executionMs')], 'ms'),
        'WAL kB': alone([each('walBytes') / 1_000], 'kB'),
      },
      tables: [{ title: 'Statements of one deposit, the idle engine’s among them', columns, rows }] satisfies Table[],
    };
  } finally {
    await statements.close();
  }
}
