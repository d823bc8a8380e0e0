import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateRows } from '../../test/growth/rows.ts';
import { against, alone, median, rounded } from '../bench/figures/statistics.ts';
import { inTurns } from '../bench/figures/rounds.ts';
import { buildAll } from '../bench/ground/build.ts';
import { type BenchEngine, startBenchEngine } from '../bench/ground/engine.ts';
import { groundOf, loadNow } from '../bench/ground/facts.ts';
import type { Undo } from '../bench/ground/undo.ts';
import { type DepositLoad, loadOn } from '../bench/load/deposits.ts';
import { closedLoop, type Latencies, oneByOne } from '../bench/load/loops.ts';
import { createProgress } from '../bench/progress.ts';
import { type BenchServers, openServers } from '../bench/servers/servers.ts';
import { costOf, countPages, pruneSome, sizesOf } from './database.ts';
import type { GrowthRun, ReadFigure, SizeFigures, TableSize } from './figures.ts';
import type { GrowthOptions } from './options.ts';
import { type Reads, readsOf } from './reads.ts';

const ROUNDS = 5;
const REQUESTS = 30;
/** Deposits that warm the engine up, and those whose log and changes of rows are counted. */
const [WARM, COUNTED, LANES] = [20, 60, 4];
/** On two shared cores: loading, then everything else. */
const LOAD_SECONDS_EACH = 0.000_25;
const MEASURE_SECONDS = 150;
/** The worker's own pruning would go on beside the measurement. */
const NO_PRUNING = { PRUNE_AFTER: '3650d' };

export interface GrowthHands {
  readonly undo: Undo;
  readonly write: (line: string) => void;
  /** Called after each size with everything so far. */
  readonly keep: (run: GrowthRun) => Promise<void>;
}

/** An engine on a database with so many deposits. */
interface Grown {
  readonly engine: BenchEngine;
  readonly load: DepositLoad;
  readonly reads: Reads;
  readonly loadSeconds: number;
  readonly tables: readonly TableSize[];
  stop(): Promise<void>;
}

/** Measures every read at each size, in turns with the smallest one. Only that one stays until the end. */
export async function measureGrowth({ sizes, leanFrom }: GrowthOptions, hands: GrowthHands): Promise<GrowthRun> {
  const { undo, write, keep } = hands;
  const startedMs = performance.now();
  const progress = createProgress(sizes, (size) => size * LOAD_SECONDS_EACH + MEASURE_SECONDS, write);
  progress.tell('building the engine');
  const built = await buildAll();
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-growth-'));
  undo.add(() => rm(folder, { recursive: true, force: true }));
  progress.tell('starting PostgreSQL and Temporal');
  const servers = await openServers(folder, undo, null);
  const ground = await groundOf(servers, 'full', 'dev');
  const done: SizeFigures[] = [];
  const soFar = (): GrowthRun => {
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    return {
      ground: { ...ground, loadAfter: loadNow(), seconds },
      rounds: ROUNDS,
      requests: REQUESTS,
      sizes: [...done],
    };
  };
  let least: Grown | null = null;
  for (const deposits of sizes) {
    const lean = leanFrom !== null && deposits >= leanFrom;
    const tell = (line: string) => progress.tell(`${deposits.toLocaleString('en-US')} deposits: ${line}`);
    const grown: Grown = await grow({ deposits, lean }, { servers, built, undo, tell });
    least ??= grown;
    const reads = await compareReads(least, grown, servers, tell);
    tell('the log of a deposit');
    // The relay has adopted the open rows by now, and writes nothing else.
    const cost = await grown.engine.admin((client) =>
      costOf(client, COUNTED, () => closedLoop(grown.load.fresh(COUNTED), LANES, grown.load.whole)),
    );
    tell('pruning');
    const pruning = await pruneSome(grown.reads.worker);
    const { loadSeconds, tables } = grown;
    done.push({ deposits, lean, loadSeconds, reads, tables, cost, pruning });
    if (grown !== least) await grown.stop();
    progress.done(deposits);
    await keep(soFar());
  }
  return soFar();
}

type Ground = {
  readonly servers: BenchServers;
  readonly built: Awaited<ReturnType<typeof buildAll>>;
  readonly undo: Undo;
  readonly tell: (line: string) => void;
};

async function grow(
  { deposits, lean }: { readonly deposits: number; readonly lean: boolean },
  { servers, built, undo, tell }: Ground,
): Promise<Grown> {
  let loadSeconds = 0;
  const engine = await startBenchEngine(servers, built, undo, {
    env: NO_PRUNING,
    async fill(url) {
      const startedMs = performance.now();
      // Steps of less than a second are not printed.
      await generateRows(url, { deposits, lean }, (line) => void (!line.includes(': 0.') && tell(`rows, ${line}`)));
      loadSeconds = Math.round((performance.now() - startedMs) / 1_000);
      await servers.settle();
    },
  });
  const tables = await engine.admin((client) => sizesOf(client, deposits));
  const load = await loadOn(engine, servers.temporalAddress);
  undo.add(() => load.close());
  tell('deposits of the engine itself');
  const made = load.fresh(WARM);
  await closedLoop(made, LANES, load.whole);
  const urlFor = (login: string): string => {
    const url = new URL(servers.postgres.url);
    url.pathname = `/${engine.database}`;
    url.username = login;
    return url.href;
  };
  const reads = await readsOf(engine, load, urlFor, made);
  return {
    engine,
    load,
    reads,
    loadSeconds,
    tables,
    async stop() {
      await reads.close();
      await load.close();
      await engine.stop();
      await servers.admin((client) => client.query(`drop database ${engine.database} with (force)`));
    },
  };
}

async function compareReads(
  least: Grown,
  grown: Grown,
  servers: BenchServers,
  tell: (line: string) => void,
): Promise<Record<string, ReadFigure>> {
  const times: Record<string, Omit<ReadFigure, 'pages'>> = {};
  for (const name of Object.keys(grown.reads.all)) {
    tell(name);
    const round = (of: Grown) => () => {
      const { one, requests = REQUESTS } = of.reads.all[name]!;
      return oneByOne(
        Array.from({ length: requests }, (_, i) => i),
        one,
      );
    };
    const contenders = { grown: round(grown), ...(grown === least ? {} : { least: round(least) }) };
    const { grown: ours = [], least: baseline } = await inTurns<string, Latencies>(contenders, ROUNDS);
    const p95 = (of: readonly Latencies[]) => of.map(({ p95Ms }) => p95Ms);
    const { ratio, min, max } =
      baseline === undefined ? { ratio: null, min: null, max: null } : against(p95(ours), p95(baseline), 'ms');
    const p50Ms = rounded(median(ours.map((latencies) => latencies.p50Ms)));
    const p95Ms = alone(p95(ours), 'ms').ours;
    times[name] = { group: grown.reads.all[name]!.group, p50Ms, p95Ms, ratio, min, max };
  }
  const counter = await countPages(servers, grown.engine.database);
  const reads: Record<string, ReadFigure> = {};
  for (const [name, figure] of Object.entries(times)) {
    const pages = (await counter?.of(() => grown.reads.all[name]!.one(0))) ?? null;
    reads[name] = { ...figure, pages };
  }
  await counter?.stop();
  return reads;
}
