import { root } from '../../local/servers/paths.ts';
import { checkout, commitOf } from '../version.ts';
import { type Built, buildAll, buildEngine } from './ground/build.ts';
import { type BareEndpoint, startEndpoint } from './ground/endpoint.ts';
import { type BenchEngine, startBenchEngine } from './ground/engine.ts';
import { type Floors, startFloors } from './ground/floors.ts';
import { openServers, type BenchServers } from './servers/servers.ts';
import { buildTemporalServer } from './servers/temporal-postgres.ts';
import type { Undo } from './ground/undo.ts';
import { type DepositLoad, loadOn } from './load/deposits.ts';
import { closedLoop } from './load/loops.ts';
import type { Scale } from './scale.ts';

export interface LoadedEngine {
  /** The commit that it was built from; with `-dirty` where the files differ from it. */
  readonly commit: string;
  readonly engine: BenchEngine;
  readonly load: DepositLoad;
}

/** The resources that the parts measure on. Each starts at its first use. */
export interface Bench {
  readonly scale: Scale;
  readonly servers: BenchServers;
  readonly built: Built;
  readonly undo: Undo;
  /** A directory of this run, removed at its end. */
  readonly folder: string;
  /** Prints a line of progress. */
  readonly tell: (line: string) => void;
  /** The engine with its load, warm and with analyzed tables, as always in production. */
  engine(): Promise<LoadedEngine>;
  /** The engine of the version that `--before` names, likewise. */
  before(): Promise<LoadedEngine>;
  floors(): Promise<Floors>;
  endpoint(): Promise<BareEndpoint>;
  /** Analyzes the tables of a running engine; a part begins with it. */
  refresh(): Promise<void>;
  /** Stops engine and floors, so that the next part begins with new processes. */
  startAnew(): Promise<void>;
}

const WARM_DEPOSITS = 100;
const WARM_LANES = 8;

export interface BenchSetup extends Pick<Bench, 'scale' | 'undo' | 'folder' | 'tell'> {
  readonly temporal: 'dev' | 'postgres';
  readonly before: string | null;
}

export async function openBench({ temporal, before: commit, ...options }: BenchSetup): Promise<Bench> {
  const { undo, folder, tell } = options;
  tell('building the engine and the floors');
  const built = await buildAll();
  const onPostgres = temporal === 'postgres' ? await buildTemporalServer(tell) : null;
  tell('starting PostgreSQL and Temporal');
  const servers = await openServers(folder, undo, onPostgres);
  let engine: Promise<LoadedEngine> | null = null;
  let before: Promise<LoadedEngine> | null = null;
  let floors: Promise<Floors> | null = null;
  let endpoint: Promise<BareEndpoint> | null = null;
  async function openBefore(): Promise<LoadedEngine> {
    tell(`building the engine of ${commit}`);
    const { at, drop } = await checkout(commit!);
    undo.add(drop);
    return openEngine({ ...built, engine: await buildEngine(at) }, at);
  }
  async function openEngine(of: Built = built, at = root): Promise<LoadedEngine> {
    const commit = await commitOf(at);
    const started = await startBenchEngine(servers, of, undo);
    try {
      const load = await loadOn(started, servers.temporalAddress);
      undo.add(() => load.close());
      await closedLoop(load.fresh(WARM_DEPOSITS), WARM_LANES, load.whole);
      await analyze(started);
      return { commit, engine: started, load };
    } catch (error) {
      await started.stop();
      throw error;
    }
  }
  return {
    ...options,
    servers,
    built,
    engine: () => (engine ??= openEngine()),
    before: () => (before ??= openBefore()),
    floors: () => (floors ??= startFloors(servers, built, undo)),
    endpoint: () => (endpoint ??= startEndpoint(servers, built, undo)),
    async refresh() {
      for (const opened of [engine, before]) if (opened !== null) await analyze((await opened).engine);
    },
    async startAnew() {
      const [engines, oldFloors] = [[engine, before], floors];
      [engine, before, floors] = [null, null, null];
      // An engine or floors that failed to open need no stop.
      for (const opened of engines) {
        const old = await opened?.catch(() => null);
        await old?.load.close();
        await old?.engine.stop();
      }
      await (await oldFloors?.catch(() => null))?.stop();
    },
  };
}

const analyze = (engine: BenchEngine): Promise<unknown> => engine.admin((client) => client.query('vacuum analyze'));
