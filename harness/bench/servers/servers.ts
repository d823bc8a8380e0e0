import { join } from 'node:path';
import type pg from 'pg';
import { withClient } from '../../../database/pool.ts';
import { type PostgresServer, PostgresStartError, startPostgres } from '../../../local/servers/postgres.ts';
import { gone } from '../../../local/servers/process.ts';
import { requireOwn } from './own.ts';
import { startTemporalOnPostgres } from './temporal-postgres.ts';
import { startDevTemporal } from './temporal-server.ts';
import type { Undo } from '../ground/undo.ts';

export interface BenchServers {
  /** The running server; replaced after a kill. */
  readonly postgres: PostgresServer;
  /** The address of a database, as the superuser or with the superuser's password as another login. */
  urlOf(database: string, login?: string): string;
  readonly temporalAddress: string;
  /** The server's process and the processes that belong only to it. */
  pidsOfTemporal(): readonly number[];
  /** Whether the server has statistics of statements; false if its contrib modules are not installed. */
  readonly hasStatements: boolean;
  /** Runs `work` as the superuser on the named database. */
  admin<T>(work: (client: pg.Client) => Promise<T>, database?: string): Promise<T>;
  /** Restores the settings with which every part begins: see {@link BASE}. */
  settle(): Promise<void>;
  /** Kills with SIGKILL, and resolves when the process is gone. */
  killPostgres(): Promise<void>;
  startPostgres(): Promise<void>;
  killTemporal(): Promise<void>;
  stopTemporal(): Promise<void>;
  /** Starts on the same data, at the same address. */
  startTemporal(): Promise<void>;
}

const STATEMENTS = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track_planning': 'on',
};
/** Below the ephemeral ports: a client that retries a stopped server could otherwise get that same port itself. */
const FIRST_PORT = 20_000;
const PORTS = 10_000;
/** Flushes are free, because the disk of a shared machine is noise. Part P6 slows each flush down instead. */
const BASE = ['fsync = off', 'full_page_writes = off'];
const CAPACITY = { max_connections: '400', shared_buffers: '512MB', max_wal_size: '4GB' };

/** `onPostgres`: the directory of Temporal's server programs, to run it on a PostgreSQL; null: the dev server. */
export async function openServers(folder: string, undo: Undo, onPostgres: string | null): Promise<BenchServers> {
  const directory = join(folder, 'postgres');
  const starting = startStatistically(directory);
  let again: Promise<PostgresServer> | null = null;
  // Before it is there: a signal that comes while it starts ends it as well.
  undo.add(async () => (await (again ?? (await starting).postgres)).stop());
  const { options, hasStatements, ...started } = await starting;
  let { postgres } = started;
  requireOwn('PostgreSQL', { adopted: postgres.adopted, at: postgres.url });
  const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
  const temporal =
    onPostgres === null
      ? await startDevTemporal(folder, port, undo)
      : await startTemporalOnPostgres(onPostgres, folder, port, undo);
  const urlOf = (database: string, login?: string): string => {
    const url = new URL(postgres.url);
    url.pathname = `/${database}`;
    url.username = login ?? url.username;
    return url.href;
  };
  const admin: BenchServers['admin'] = (work, database = 'postgres') =>
    withClient({ connectionString: urlOf(database), application_name: 'bench' }, work);
  const settle = () =>
    admin(async (client) => {
      for (const change of BASE) await client.query(`alter system set ${change}`);
      // Only the part that counts statements switches it on.
      if (hasStatements) await client.query('alter system set pg_stat_statements.track = none');
      await client.query('select pg_reload_conf()');
    });
  await settle();
  return {
    get postgres() {
      return postgres;
    },
    urlOf,
    hasStatements,
    admin,
    settle,
    temporalAddress: temporal.address,
    pidsOfTemporal: () => temporal.pids(),
    killPostgres: () => kill(postgres.pid),
    async startPostgres() {
      again = startPostgres({ ...options, port: postgres.port });
      postgres = await again;
    },
    killTemporal: () => kill(temporal.pids()[0]!),
    stopTemporal: () => temporal.stop(),
    startTemporal: () => temporal.start(),
  };
}

async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await gone(pid);
}

/** Starts the server with statistics of statements if it has them. */
async function startStatistically(directory: string) {
  const plain = { directory, removeOnStop: true, settings: CAPACITY };
  const options = { ...plain, settings: { ...CAPACITY, ...STATEMENTS } };
  try {
    return { postgres: await startPostgres(options), options, hasStatements: true };
  } catch (error) {
    if (!(error instanceof PostgresStartError) || !error.message.includes('pg_stat_statements')) throw error;
    return { postgres: await startPostgres(plain), options: plain, hasStatements: false };
  }
}
