import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { cut } from '../../../audit/audit-arguments.ts';
import { openSession, snapshotOf } from '../../../audit/tables/session.ts';
import { auditInParts } from '../../../audit/run/child-processes.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { startTemporal } from '../../../local/servers/temporal.ts';
import { workflowSource } from '../../../worker/workflow-source.ts';
import { contentOf, runAudit } from '../command.ts';
import { makeBook } from './book.ts';

/**
 * Measures the speed of an audit, checks that its memory does not grow, and that a killed one resumes to the same
 * report: `node --import tsx test/audit/scale/scale.ts --count 100000`. Starts a PostgreSQL and a Temporal of its own
 * and ends them. Rates are compared within one run, in turns; a rate alone means little on a shared machine.
 */
Runtime.install({ logger: new DefaultLogger('ERROR') });
const { values } = parseArgs({
  options: { count: { type: 'string', default: '10000' }, rounds: { type: 'string', default: '5' } },
});
const COUNT = Number(values.count);
const ROUNDS = Number(values.rounds);
/** Histories of one measurement. */
const MANY = Math.min(COUNT, 1_000);
const folder = await mkdtemp(join(tmpdir(), 'deposit-scale-'));
const seconds = (since: number) => Math.round((performance.now() - since) / 100) / 10;

/** In turns, the first round discarded; histories per second, medians. */
async function inTurns(works: Readonly<Record<string, () => Promise<number>>>): Promise<(name: string) => number> {
  const rates = new Map(Object.keys(works).map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, work] of Object.entries(works)) {
      const measured = await work();
      if (round > 0) rates.get(name)!.push(measured);
    }
  }
  const sorted = new Map([...rates].map(([name, all]) => [name, all.toSorted((x, y) => x - y)]));
  const median = (name: string) => sorted.get(name)!.at(Math.floor(ROUNDS / 2))!;
  for (const [name, all] of sorted) {
    console.log(`  ${name}: ${Math.round(median(name))}/s (${Math.round(all[0]!)} to ${Math.round(all.at(-1)!)})`);
  }
  return median;
}

/** Deposits replayed and compared by one process and by two, and empty workflows by one. */
async function compareRates(url: string, code: string): Promise<void> {
  const codePath = join(folder, 'workflow-bundle.js');
  await writeFile(codePath, code);
  const db = await openSession({ url }, null);
  const task = {
    database: { url },
    snapshot: await snapshotOf(db),
    archiveDirectory: undefined,
    codePath,
    exceptions: [],
  };
  let from = 0;
  /** From the moment each process has finished a part to the last part's end. */
  const audited = (processes: number) => async () => {
    const rows = Array.from({ length: processes * MANY }, (_, i) => 1 + ((from + i) % COUNT));
    from += rows.length;
    const parts = cut(rows, MANY / 10);
    const ends: number[] = [];
    await auditInParts(processes, task, parts, async (_part, state) => {
      if (JSON.stringify(state).includes('replay_differs')) throw new Error('a deposit does not replay');
      ends.push(performance.now());
    });
    const counted = (ends.length - processes) * parts[0]!.length;
    return counted / ((ends.at(-1)! - ends[processes - 1]!) / 1_000);
  };
  const empties = (['sdk', 'audit'] as const).map((by) =>
    fork(fileURLToPath(new URL('./empty.ts', import.meta.url)), [by], { execArgv: ['--import', 'tsx'] }),
  );
  const empty = (child: ChildProcess) => async () => {
    child.send(MANY);
    const [rate] = (await once(child, 'message')) as [number];
    return rate;
  };
  const median = await inTurns({
    'deposits, one process': audited(1),
    'deposits, two processes': audited(2),
    'empty workflows, the SDK’s replayer': empty(empties[0]!),
    'empty workflows, the audit’s replayer': empty(empties[1]!),
  });
  const one = median('deposits, one process');
  const [bySdk, byAudit] = ['SDK', 'audit'].map((who) => one / median(`empty workflows, the ${who}’s replayer`));
  console.log(`  ratio to empty workflows: ${bySdk!.toFixed(2)} (SDK’s replayer), ${byAudit!.toFixed(2)} (audit’s)`);
  console.log(`  two processes are ${(median('deposits, two processes') / one).toFixed(2)} x one`);
  for (const child of empties) child.disconnect();
  await db.end();
}

/** The resident memory of a process and its children, in MB. */
function residentMb({ pid }: ChildProcess): number {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,rss='], { encoding: 'utf8' }).trim().split('\n');
  const sizes = rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number, number]);
  return Math.round(
    sizes.reduce((sum, [one, parent, kb]) => (one === pid || parent === pid ? sum + kb : sum), 0) / 1024,
  );
}

/** All of it at once, then again with SIGKILL in the middle: the same report. */
async function auditWhole(url: string): Promise<void> {
  const temporal = await startTemporal({ dbFile: join(folder, 'temporal.db'), uiPort: 'headless' });
  try {
    const servers = { databaseUrl: url, temporalAddress: temporal.address };
    const memory: number[] = [];
    const whole = await runAudit(servers, join(folder, 'whole'), (_, child) => memory.push(residentMb(child)));
    if (whole.code !== 0) throw new Error([...whole.told, await contentOf(whole.paths[0]!)].join('\n').slice(0, 5_000));
    const tenths = Array.from({ length: 10 }, (_, i) => memory[Math.floor((i * memory.length) / 10)]);
    console.log(`the command, ${availableParallelism()} processes: ${COUNT} deposits in ${whole.seconds} s`);
    console.log(`  all its processes, MB at each tenth: ${tenths.join(' ')}; at most ${Math.max(...memory)}`);
    console.log(`  last progress: ${whole.told.findLast((line) => line.startsWith('replayed'))}`);
    const cutOff = await runAudit(servers, join(folder, 'killed'), (done, child) => {
      if (done >= COUNT / 2) child.kill('SIGKILL');
    });
    const goesOn = await runAudit(servers, join(folder, 'killed'));
    console.log(
      `  killed: exit ${cutOff.code}, after ${cutOff.seconds} s; then: ${goesOn.told.find((line) => line.startsWith('going on'))}`,
    );
    const [one, two] = await Promise.all([whole, goesOn].map(async ({ paths }) => contentOf(paths[0]!)));
    if (one !== two) throw new Error('the report after SIGKILL is another');
    console.log(`  the report after SIGKILL is the same, but for its times (${one!.length} bytes)`);
  } finally {
    await temporal.stop();
  }
}

const server = await startPostgres({ directory: join(folder, 'postgres'), fsync: false, removeOnStop: true });
try {
  const { url } = server;
  const { workflowBundle, buildId } = await workflowSource({}, false);
  const { code } = workflowBundle;
  console.log(
    `${cpus()[0]?.model}, ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}, Node.js ${process.version}`,
  );
  const made = performance.now();
  await makeBook(url, COUNT, code, buildId);
  console.log(`${COUNT} deposits made in ${seconds(made)} s`);
  await compareRates(url, code);
  await auditWhole(url);
  console.log(`load at the end ${loadavg()[0]?.toFixed(1)}`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
// The SDK's runtime would keep the process alive.
process.exit();
