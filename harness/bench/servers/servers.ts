import { join } from 'node:path';
import pg from 'pg';
import { type PostgresServer, PostgresStartError, startPostgres } from '../../../local/servers/postgres.ts';
import { gone } from '../../../local/servers/process.ts';
import { requireOwn } from './own.ts';
import { startTemporalOnPostgres } from './temporal-postgres.ts';
import { startDevTemporal } from './temporal-server.ts';
import type { Undo } from '../ground/undo.ts';

export interface BenchServers {
  /** As it runs now: another one after it was killed. */
  readonly postgres: PostgresServer;
  readonly temporalAddress: string;
  /** The server and what belongs to it alone. */
  pidsOfTemporal(): readonly number[];
  /** The server's statistics of statements; false where its contrib modules are not installed. */
  readonly hasStatements: boolean;
  /** As the superuser, on the database of that name. */
  admin<T>(work: (client: pg.Client) => Promise<T>, database?: string): Promise<T>;
  /** Sets what every part begins with: see {@link BASE}. */
  settle(): Promise<void>;
  /** Kills with SIGKILL, and resolves when the process is gone. */
  killPostgres(): Promise<void>;
  startPostgres(): Promise<void>;
  killTemporal(): Promise<void>;
  stopTemporal(): Promise<void>;
  /** On the same data, at the same address. */
  startTemporal(): Promise<void>;
}

const STATEMENTS = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track_planning': 'on',
};
/** Below those that a connection gets for its own end: a client that tries a stopped server again could get that very port. */
const FIRST_PORT = 20_000;
const PORTS = 10_000;
/** A flush costs nothing: a shared machine's disk is noise. Part P6 slows each flush down instead. */
const BASE = ['fsync = off', 'full_page_writes = off'];
const CAPACITY = { max_connections: '400', shared_buffers: '512MB', max_wal_size: '4GB' };

/** `onPostgres`: where the programs of Temporal's server are, to run it on a PostgreSQL instead of the dev server. */
export async function openServers(folder: string, undo: Undo, onPostgres: string | null): Promise<BenchServers> {
  const directory = join(folder, 'postgres');
  const { options, hasStatements, ...started } = await startStatistically(directory);
  let { postgres } = started;
  undo.add(() => postgres.stop());
  requireOwn('PostgreSQL', { adopted: postgres.adopted, at: postgres.url });
  const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
  const temporal =
    onPostgres === null
      ? await startDevTemporal(folder, port, undo)
      : await startTemporalOnPostgres(onPostgres, folder, port, undo);
  const admin: BenchServers['admin'] = async (work, database = 'postgres') => {
    const url = new URL(postgres.url);
    url.pathname = `/${database}`;
    const client = new pg.Client({ connectionString: url.href, application_name: 'bench' });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  const settle = () =>
    admin(async (client) => {
      for (const change of BASE) await client.query(`alter system set ${change}`);
      // Switched on for the part that counts statements.
      if (hasStatements) await client.query('alter system set pg_stat_statements.track = none');
      await client.query('select pg_reload_conf()');
    });
  await settle();
  return {
    get postgres() {
      return postgres;
    },
    hasStatements,
    admin,
    settle,
    temporalAddress: temporal.address,
    pidsOfTemporal: () => temporal.pids(),
    killPostgres: () => kill(postgres.pid),
    async startPostgres() {
      postgres = await startPostgres({ ...options, port: postgres.port });
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

/** With statistics of statements if the server has them. */
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
