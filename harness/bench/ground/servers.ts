import { join } from 'node:path';
import pg from 'pg';
import { type PostgresServer, PostgresStartError, startPostgres } from '../../../local/servers/postgres.ts';
import { startTemporal, type TemporalServer } from '../../../local/servers/temporal.ts';
import { gone } from '../../../local/servers/process.ts';
import type { Undo } from './undo.ts';

/** A server that this run did not start: what is measured on it would be somebody else's work, and their data at risk. */
export class ForeignServer extends Error {
  override readonly name = 'ForeignServer';
}

/** Throws {@link ForeignServer} unless the server was started now, on loopback. */
export function requireOwn(what: string, server: { readonly adopted: boolean; readonly at: string }): void {
  const { hostname } = new URL(server.at.includes('://') ? server.at : `tcp://${server.at}`);
  if (server.adopted)
    throw new ForeignServer(`${what} was running already: the bench measures on its own servers only`);
  if (hostname !== '127.0.0.1')
    throw new ForeignServer(`${what} is at ${hostname}, which is not this machine's loopback`);
}

export interface BenchServers {
  /** As it runs now: another one after it was killed. */
  readonly postgres: PostgresServer;
  readonly temporalAddress: string;
  pidOfTemporal(): number;
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
  /** The same file, the same port. */
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

export async function openServers(folder: string, undo: Undo): Promise<BenchServers> {
  const directory = join(folder, 'postgres');
  const { options, hasStatements, ...started } = await startStatistically(directory);
  let { postgres } = started;
  undo.add(() => postgres.stop());
  requireOwn('PostgreSQL', { adopted: postgres.adopted, at: postgres.url });
  const dbFile = join(folder, 'temporal.db');
  const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
  let temporal: TemporalServer = await startTemporal({ dbFile, uiPort: 'headless', port });
  undo.add(() => temporal.stop());
  requireOwn('Temporal', { adopted: temporal.adopted, at: temporal.address });
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
    pidOfTemporal: () => temporal.pid,
    killPostgres: () => kill(postgres.pid),
    async startPostgres() {
      postgres = await startPostgres({ ...options, port: postgres.port });
    },
    killTemporal: () => kill(temporal.pid),
    stopTemporal: () => temporal.stop(),
    async startTemporal() {
      const { port: before } = temporal;
      temporal = await startTemporal({ dbFile, uiPort: 'headless', port: before });
      if (temporal.port !== before) throw new Error(`somebody took port ${before} while Temporal was stopped`);
    },
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
