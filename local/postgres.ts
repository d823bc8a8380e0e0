/** A PostgreSQL server of our own on loopback: for `npm start`, `npm run audit` and the test suite. */

import { chownSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { belongsTo, cacheDirectory, outsideDirectory, root } from './paths.ts';
import { freePort, freePortNear } from './ports.ts';
import { type Account, accountOptions, findPostgres, serverAccount } from './postgres-binaries.ts';
import { commandOf, describeExit, type Exit, end, gone, isAlive, lastLines, run, start } from './process.ts';

export type PostgresOptions = {
  /** The logical place of the data; as root they lie outside it and the file `location` here names where. */
  readonly directory: string;
  /** The wished port; another one is taken when it is not free. Default: any. */
  readonly port?: number;
  /** False only for data that may be lost in a power cut, such as a test's. Default: true. */
  readonly fsync?: boolean;
  /** Default: `server.log` in the directory. */
  readonly logFile?: string;
  /** Whether `stop` also deletes the data. Default: false. */
  readonly removeOnStop?: boolean;
  /** Further server settings, given on the command line. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `package` passes over what is installed on the machine. Default: `any`. */
  readonly binaries?: 'any' | 'package';
};

export type PostgresServer = {
  /** The superuser's address of the database `postgres`; no password, loopback only. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Whether an earlier start had left the server running. */
  readonly adopted: boolean;
  /** Where the programs came from; null for an adopted server. */
  readonly source: string | null;
  /** Resolves when the server is gone, for whatever reason. */
  readonly exited: Promise<Exit>;
  /** Cuts clients off, writes everything down and resolves when the server is gone. */
  stop(): Promise<void>;
};

const INITDB_TIMEOUT_MS = 120_000;
/** A server that was killed replays its log first. */
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 25;
const PREDECESSOR_MS = 1_000;
const ATTEMPTS = 3;

export class PostgresStartError extends Error {
  override name = 'PostgresStartError';
}

/**
 * Starts a server on the directory's data, creating them first if there are none. A server that already runs on these
 * data is taken over instead.
 * @throws PostgresNotFoundError when no programs are found; PostgresStartError with the log's end when it does not start.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const account = await serverAccount();
  mkdirSync(options.directory, { recursive: true });
  const home = prepareHome(realpathSync(options.directory), account);
  const data = join(home, 'data');
  const running = await findRunning(data);
  if (running !== null) return serverOf(running, data, home, options, null, null);

  const major = existsSync(join(data, 'PG_VERSION')) ? Number(readFileSync(join(data, 'PG_VERSION'), 'utf8')) : null;
  const binaries = await findPostgres({
    account,
    unpackTo: account === null ? cacheDirectory : outsideDirectory(join(root, '.cache')),
    among: options.binaries === 'package' ? 'package' : 'both',
    ...(major === null ? {} : { major }),
  });
  if (major === null) await createCluster(binaries.directory, home, account, options.fsync ?? true);

  let port = await freePortNear(options.port);
  for (let attempt = 1; ; attempt += 1) {
    const started = await launch(join(binaries.directory, 'postgres'), data, port, account, options);
    const failure = await waitUntilReady(port, data, started.exited);
    if (failure === null) {
      return serverOf({ pid: started.pid, port }, data, home, options, started.exited, binaries.source);
    }
    if (isAlive(started.pid)) await end(started.pid, { signal: 'SIGQUIT', timeoutMs: STOP_TIMEOUT_MS, group: true });
    const log = lastLines(logFileOf(options), 15);
    const portTaken = /Address already in use|could not bind/.test(log);
    // A killed predecessor's backends take a moment to notice.
    const predecessorEnding = log.includes('pre-existing shared memory block');
    if (attempt === ATTEMPTS || !(portTaken || predecessorEnding)) {
      throw new PostgresStartError(`PostgreSQL ${failure}. The end of ${logFileOf(options)}:\n${log}`);
    }
    // Somebody took the port between our look and the server's.
    if (portTaken) port = await freePort();
    else await sleep(PREDECESSOR_MS);
  }
}

type Running = { readonly pid: number; readonly port: number };

function logFileOf(options: PostgresOptions): string {
  return options.logFile ?? join(options.directory, 'server.log');
}

/** The directory that holds the data: the given one, or as root one that belongs to the server's account. */
function prepareHome(directory: string, account: Account): string {
  if (account === null) return directory;
  const note = join(directory, 'location');
  const recorded = existsSync(note) ? (JSON.parse(readFileSync(note, 'utf8')) as { for: string; at: string }) : null;
  const moved = recorded !== null && belongsTo(directory, recorded.for) && existsSync(recorded.at);
  const home = moved ? recorded.at : outsideDirectory(directory);
  if (!existsSync(home)) {
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, account.uid, account.gid);
  }
  const found = lstatSync(home);
  if (!found.isDirectory() || found.uid !== account.uid) {
    // Anybody may create names in /var/tmp; data in a directory of somebody else's would be theirs to change.
    throw new PostgresStartError(`${home} is not a directory of user ${account.name}; move it away and start again.`);
  }
  writeFileSync(note, `${JSON.stringify({ for: directory, at: home })}\n`);
  return home;
}

/** The server that already works on these data, if any. */
async function findRunning(data: string): Promise<Running | null> {
  const until = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const file = join(data, 'postmaster.pid');
    if (!existsSync(file)) return null;
    const lines = readFileSync(file, 'utf8').split('\n');
    const running = { pid: Math.abs(Number(lines[0])), port: Number(lines[3]) };
    if (!Number.isSafeInteger(running.pid) || running.pid === 0 || !isAlive(running.pid)) return null;
    if (!commandOf(running.pid).includes('postgres')) {
      // The number now belongs to another program (a reboot); the server would take that for a living predecessor.
      rmSync(file, { force: true });
      return null;
    }
    const theirs = await dataDirectoryAt(running.port);
    if (theirs !== null) return theirs === realpathSync(data) ? running : null;
    if (performance.now() > until) {
      throw new PostgresStartError(
        `Process ${running.pid} holds the data in ${data} and does not answer on port ${running.port}. ` +
          'End it and start again.',
      );
    }
    await sleep(POLL_MS);
  }
}

/** Creates the data beside their place and moves them there, so that an interrupted creation leaves nothing half made. */
async function createCluster(programs: string, home: string, account: Account, sync: boolean): Promise<void> {
  const fresh = join(home, 'data.new');
  rmSync(fresh, { recursive: true, force: true });
  const args = ['-A', 'trust', '-E', 'UTF8', '--locale=C', '-U', 'postgres', '-D', fresh, ...(sync ? [] : ['-N'])];
  const made = await run(join(programs, 'initdb'), args, {
    timeoutMs: INITDB_TIMEOUT_MS,
    env: serverEnvironment(),
    cwd: '/',
    ...accountOptions(account),
  });
  if (made.code !== 0) throw new PostgresStartError(`initdb failed: ${made.stderr.trim() || made.stdout.trim()}`);
  renameSync(fresh, join(home, 'data'));
}

/** Nothing of the caller's PG… variables or language reaches the server. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C' };
}

function launch(program: string, data: string, port: number, account: Account, options: PostgresOptions) {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    // A test suite opens pools side by side; the default of 100 is reached quickly.
    max_connections: '200',
    ...(options.fsync === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return start(program, ['-D', data, '-k', '', '-p', String(port), ...flags], {
    env: serverEnvironment(),
    cwd: '/',
    logFile: logFileOf(options),
    ...accountOptions(account),
  });
}

/** Null when the server answers, otherwise what happened. */
async function waitUntilReady(port: number, data: string, exited: Promise<Exit>): Promise<string | null> {
  let exit: Exit | null = null;
  void exited.then((value) => (exit = value));
  const until = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < until) {
    if (exit !== null) return describeExit(exit);
    if ((await dataDirectoryAt(port)) === realpathSync(data)) return null;
    await sleep(POLL_MS);
  }
  return `did not answer within ${READY_TIMEOUT_MS / 1000} s`;
}

/** Whose data the server at the port works on; null when nobody answers. */
async function dataDirectoryAt(port: number): Promise<string | null> {
  const client = new pg.Client({ connectionString: urlAt(port), connectionTimeoutMillis: 2_000 });
  // Its queries tell of a connection that was cut; between two of them nobody would listen, and the process would end.
  client.on('error', () => undefined);
  // Without a listener a connection cut while idle would end this process.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('show data_directory');
    return rows[0]?.data_directory ?? null;
  } catch {
    return null;
  } finally {
    await client.end().catch(() => {});
  }
}

function urlAt(port: number): string {
  return `postgres://postgres@127.0.0.1:${port}/postgres`;
}

function serverOf(
  running: Running,
  data: string,
  home: string,
  options: PostgresOptions,
  exited: Promise<Exit> | null,
  source: string | null,
): PostgresServer {
  return {
    url: urlAt(running.port),
    port: running.port,
    pid: running.pid,
    adopted: exited === null,
    source,
    exited: exited ?? gone(running.pid),
    async stop() {
      // SIGINT: cut clients off and write everything down. SIGTERM would wait for clients, SIGQUIT would not write.
      await end(running.pid, { signal: 'SIGINT', timeoutMs: STOP_TIMEOUT_MS, group: false });
      if (options.removeOnStop !== true) return;
      rmSync(data, { recursive: true, force: true });
      if (home !== resolve(options.directory)) rmSync(home, { recursive: true, force: true });
      rmSync(options.directory, { recursive: true, force: true });
    },
  };
}
