/** The two embedded servers of this clone, as parts of the stack and for commands that only need the servers. */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { databases, embeddedUrl, rolePassword } from './environment.ts';
import { writeRecord } from './node-part.ts';
import { dataDirectory, root } from '../servers/paths.ts';
import { isPortFree } from '../servers/ports.ts';
import { type PostgresServer, startPostgres } from '../servers/postgres.ts';
import { lastLines, lastWords, send } from '../servers/process.ts';
import { loadState, type Ports } from '../servers/state.ts';
import type { StackPart, RunningPart } from './supervisor.ts';
import { startTemporal, type TemporalServer } from '../servers/temporal.ts';

/** A server cannot restart: the port on which the engine's processes expect it is taken. */
class PortTakenError extends Error {
  override name = 'PortTakenError';
}

/** The data of a server were deleted. */
class DataGoneError extends Error {
  override name = 'DataGoneError';
}

/** The paths of the embedded servers' data. */
function serverFiles(data: string): { readonly postgres: string; readonly temporal: string } {
  return { postgres: join(data, 'postgres'), temporal: join(data, 'temporal', 'temporal.db') };
}

/** PostgreSQL as a part; `onUp` is called at every start. */
export function postgresPart(data: string, ports: Ports, onUp: (server: PostgresServer) => void): StackPart {
  const { postgres } = serverFiles(data);
  return serverPart('postgres', ports.postgres, data, join(postgres, 'password'), async (port) => {
    const logFile = join(data, 'logs', 'postgres.log');
    const server = await startPostgres({ directory: postgres, port, logFile });
    onUp(server);
    // SIGQUIT: the server's own way of ending at once; its next start replays the log.
    return { ...server, stop: () => server.stop(), kill: () => send(server.pid, 'SIGQUIT') };
  });
}

/** Temporal as a part; `executable` is resolved before, so that a restart never waits for a download. */
export function temporalPart(
  data: string,
  ports: Ports,
  executable: string,
  uiCodecEndpoint: string | undefined,
  onUp: (server: TemporalServer) => void,
): StackPart {
  const { temporal: dbFile } = serverFiles(data);
  return serverPart('temporal', ports.temporal, data, dbFile, async (port) => {
    const server = await startTemporal({
      dbFile,
      port,
      uiPort: ports.temporalUi,
      logFile: join(data, 'logs', 'temporal.log'),
      executable,
      uiCodecEndpoint,
    });
    onUp(server);
    return { ...server, stop: () => server.stop(), kill: () => send(-server.pid, 'SIGKILL') };
  });
}

/** The first start may take another port than the wished one; every later one has to take the same, on the same `kept`. */
function serverPart(
  name: string,
  wishedPort: number,
  data: string,
  kept: string,
  up: (port: number) => Promise<RunningPart & { readonly port: number }>,
): StackPart {
  let port: number | null = null;
  return {
    name,
    async start() {
      if (port !== null && !(await isPortFree(port))) throw new PortTakenError(`port ${port} is taken`);
      // A new empty database in its place would be worse than none.
      if (port !== null && !existsSync(kept)) throw new DataGoneError(`${kept} was deleted while the server ran`);
      const running = await up(port ?? wishedPort);
      port = running.port;
      writeRecord(data, name, running.pid);
      return {
        ...running,
        lastWords: () => lastWords(lastLines(join(data, 'logs', `${name}.log`), 60)),
        async stop() {
          await running.stop();
          rmSync(join(data, 'run', `${name}.json`), { force: true });
        },
      };
    },
  };
}

/** Creates the databases on a new server. The sandbox's belongs to its own login, which has no rights in the other. */
export async function createDatabases(url: string): Promise<void> {
  const { engine, sandbox } = databases;
  await withClient({ connectionString: url }, async (client) => {
    const { rowCount } = await client.query('select from pg_roles where rolname = $1', [sandbox]);
    if (rowCount === 0) await client.query(`create role ${sandbox} login`);
    await setRolePassword(client, url, sandbox);
    await createDatabase(client, engine, '');
    await createDatabase(client, sandbox, `owner ${sandbox}`);
  });
  const itsOwn = new URL(url);
  itsOwn.pathname = `/${sandbox}`;
  await withClient({ connectionString: itsOwn.href }, (client) => client.query(HAND_OVER));
}

/** Gives a login its password on the embedded server; `url` is the superuser's. The statement is never logged. */
export async function setRolePassword(client: pg.Client, url: string, role: string): Promise<void> {
  const password = client.escapeLiteral(rolePassword(url, role));
  await client.query(
    `set log_min_error_statement = panic; alter role ${client.escapeIdentifier(role)} password ${password}`,
  );
}

/** Gives the sandbox the objects that an earlier version made as superuser; does nothing on a new server. */
const HAND_OVER = `do $$ declare relation text; begin
  execute format('alter database %I owner to sandbox', current_database());
  if exists (select from pg_namespace where nspname = 'sandbox') then alter schema sandbox owner to sandbox; end if;
  for relation in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'sandbox' and tableowner <> 'sandbox' loop
    execute format('alter table %s owner to sandbox', relation);
  end loop;
end $$`;

async function createDatabase(client: pg.Client, name: string, more: string): Promise<void> {
  const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
  if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)} ${more}`);
}

export type Servers = {
  /** The owner's URL of the engine's database; null if that server was not wanted. */
  readonly databaseUrl: string | null;
  readonly temporalAddress: string | null;
  /** Ends the servers that this call started, and none that ran before. */
  stop(): Promise<void>;
};

/**
 * Provides the embedded servers of this clone for a command that needs nothing else, such as the audit. Adopts servers
 * that run and starts the others.
 */
export async function startServers(wanted: {
  readonly postgres: boolean;
  readonly temporal: boolean;
  /** Default: this clone's. */
  readonly data?: string;
}): Promise<Servers> {
  const data = wanted.data ?? dataDirectory;
  const { ports } = await loadState(data, root);
  const files = serverFiles(data);
  const started: Array<{ stop(): Promise<void> }> = [];
  const keep = <T extends { readonly adopted: boolean; stop(): Promise<void> }>(server: T): T => {
    if (!server.adopted) started.unshift(server);
    return server;
  };
  const stop = async () => {
    for (const server of started.splice(0)) await server.stop();
  };
  try {
    let databaseUrl: string | null = null;
    if (wanted.postgres) {
      const logFile = join(data, 'logs', 'postgres.log');
      const { url } = keep(await startPostgres({ directory: files.postgres, port: ports.postgres, logFile }));
      await createDatabases(url);
      databaseUrl = embeddedUrl(url, 'postgres', databases.engine);
    }
    let temporalAddress: string | null = null;
    if (wanted.temporal) {
      const logFile = join(data, 'logs', 'temporal.log');
      const { temporal: port, temporalUi: uiPort } = ports;
      temporalAddress = keep(await startTemporal({ dbFile: files.temporal, port, uiPort, logFile })).address;
    }
    return { databaseUrl, temporalAddress, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
