import { type Built, buildAll } from './ground/build.ts';
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
}

export async function openBench({ temporal, ...options }: BenchSetup): Promise<Bench> {
  const { undo, folder, tell } = options;
  tell('building the engine and the floors');
  const built = await buildAll();
  const onPostgres = temporal === 'postgres' ? await buildTemporalServer(tell) : null;
  tell('starting PostgreSQL and Temporal');
  const servers = await openServers(folder, undo, onPostgres);
  let engine: Promise<LoadedEngine> | null = null;
  let floors: Promise<Floors> | null = null;
  let endpoint: Promise<BareEndpoint> | null = null;
  async function openEngine(): Promise<LoadedEngine> {
    const started = await startBenchEngine(servers, built, undo);
    try {
      const load = await loadOn(started, servers.temporalAddress);
      undo.add(() => load.close());
      await closedLoop(load.fresh(WARM_DEPOSITS), WARM_LANES, load.whole);
      await analyze(started);
      return { engine: started, load };
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
    floors: () => (floors ??= startFloors(servers, built, undo)),
    endpoint: () => (endpoint ??= startEndpoint(servers, built, undo)),
    async refresh() {
      if (engine !== null) await analyze((await engine).engine);
    },
    async startAnew() {
      const opened = [engine, floors] as const;
      [engine, floors] = [null, null];
      // An engine or floors that failed to open need no stop.
      const [old, oldFloors] = [await opened[0]?.catch(() => null), await opened[1]?.catch(() => null)];
      await old?.load.close();
      await old?.engine.stop();
      await oldFloors?.stop();
    },
  };
}

const analyze = (engine: BenchEngine): Promise<unknown> => engine.admin((client) => client.query('vacuum analyze'));
