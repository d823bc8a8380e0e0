/** A PostgreSQL server of our own on loopback: for `npm start`, `npm run audit` and the test suite. */

import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from '../../database/pool.ts';
import { writePrivately } from './files.ts';
import { belongsTo, cacheDirectory, markOwner, outsideDirectory } from './paths.ts';
import { freePort, freePortNear } from './ports.ts';
import { type Account, accountOptions, findPostgres, serverAccount } from './postgres-binaries.ts';
import { commandOf, type Exit, end, gone, isAlive, lastLines, run, start, untilReady } from './process.ts';

export type PostgresOptions = {
  /** The logical place of the data. As root the data lie outside, and the file `location` in here names the place. */
  readonly directory: string;
  /** The preferred port; if it is taken, another one is used. Default: any. */
  readonly port?: number;
  /** False only for data that may be lost in a power cut, such as a test's. Default: true. */
  readonly fsync?: boolean;
  /** Default: `server.log` in the directory. */
  readonly logFile?: string;
  /** Whether `stop` also deletes the data. Default: false. */
  readonly removeOnStop?: boolean;
  /** Further server settings, given on the command line. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `package` ignores programs installed on the machine. Default: `any`. */
  readonly binaries?: 'any' | 'package';
};

export type PostgresServer = {
  /** The superuser's address of the database `postgres`, with the password; loopback only. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Whether the server still ran from an earlier start. */
  readonly adopted: boolean;
  /** The source of the programs; null for an adopted server. */
  readonly source: string | null;
  /** The place of the data if it is outside of the directory, and whether this start created them. */
  readonly outside: { readonly at: string; readonly isNew: boolean } | null;
  /** Places of earlier data that nothing uses, because the directory was deleted since. */
  readonly forgotten: readonly string[];
  /** Resolves when the server is gone, for any reason. */
  readonly exited: Promise<Exit>;
  /** Disconnects clients, writes everything to disk and resolves when the server is gone. */
  stop(): Promise<void>;
};

const INITDB_TIMEOUT_MS = 120_000;
/** Long, because a killed server replays its log first. */
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 25;
const READINESS = { timeoutMs: READY_TIMEOUT_MS, everyMs: POLL_MS, late: 'did not answer' };
const PREDECESSOR_MS = 1_000;
const ATTEMPTS = 3;
const WRONG_PASSWORD = '28P01';

export class PostgresStartError extends Error {
  override name = 'PostgresStartError';
}

/**
 * Starts a server on the directory's data, which it creates if there are none. A server that already runs on these
 * data is adopted instead.
 * @throws PostgresNotFoundError when no programs are found; PostgresStartError with the log's end when it does not start.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const account = await serverAccount();
  mkdirSync(options.directory, { recursive: true });
  const directory = realpathSync(options.directory);
  const place = placeOf(directory, prepareHome(directory, account));
  const running = await findRunning(place);
  if (running !== null) return serverOf(running, place, options, null);

  const { data } = place;
  const major = existsSync(join(data, 'PG_VERSION')) ? Number(readFileSync(join(data, 'PG_VERSION'), 'utf8')) : null;
  const binaries = await findPostgres({
    account,
    unpackTo: account === null ? cacheDirectory : outsideDirectory(cacheDirectory),
    among: options.binaries === 'package' ? 'package' : 'both',
    ...(major === null ? {} : { major }),
  });
  if (major === null) await createCluster(binaries.directory, place, account, options.fsync ?? true);
  else if (!existsSync(place.passwordFile)) await setSuperuserPassword(binaries.directory, place, account);

  let port = await freePortNear(options.port);
  for (let attempt = 1; ; attempt += 1) {
    const started = await launch(join(binaries.directory, 'postgres'), data, port, account, options);
    const isReady = async () => (await dataDirectoryAt(port, place.passwordFile)) === realpathSync(data);
    const failure = await untilReady(started.exited, isReady, READINESS);
    if (failure === null) {
      const fresh = { exited: started.exited, source: binaries.source, isNew: major === null };
      return serverOf({ pid: started.pid, port }, place, options, fresh);
    }
    if (isAlive(started.pid)) await end(started.pid, { signal: 'SIGQUIT', timeoutMs: STOP_TIMEOUT_MS, group: true });
    const log = lastLines(logFileOf(options), 15);
    const portTaken = /Address already in use|could not bind/.test(log);
    // A killed predecessor's backends take a moment to notice.
    const predecessorEnding = log.includes('pre-existing shared memory block');
    if (attempt === ATTEMPTS || !(portTaken || predecessorEnding)) {
      throw new PostgresStartError(
        `PostgreSQL ${failure}: ${reasonIn(log)}.\nThe end of ${logFileOf(options)}:\n${log}`,
      );
    }
    // Another program took the port after we checked it.
    if (portTaken) port = await freePort();
    else await sleep(PREDECESSOR_MS);
  }
}

/** The paths of one server. */
type Place = {
  /** As given by the caller. */
  readonly directory: string;
  /** The directory itself, or the outside one that is used in its place. */
  readonly home: string;
  readonly data: string;
  /** The superuser's password, mode 600. */
  readonly passwordFile: string;
};

function placeOf(directory: string, home: string): Place {
  return { directory, home, data: join(home, 'data'), passwordFile: join(directory, 'password') };
}

type Running = { readonly pid: number; readonly port: number };

function logFileOf(options: PostgresOptions): string {
  return options.logFile ?? join(options.directory, 'server.log');
}

/** The content of `location`: the directory, the place of its data, and the mark that both carry from creation on. */
type Location = { readonly for: string; readonly at: string; readonly mark?: string };

/**
 * Returns the directory that holds the data: the given one, or as root one that belongs to the server's account. A mark
 * of its own identifies the latter: if the given directory was deleted, this is a first start.
 */
function prepareHome(directory: string, account: Account): string {
  if (account === null) return directory;
  const note = join(directory, 'location');
  const recorded = existsSync(note) ? (JSON.parse(readFileSync(note, 'utf8')) as Location) : null;
  if (recorded !== null && belongsTo(directory, recorded.for)) {
    requireOwn(recorded.at, account);
    // Data of an earlier version have no mark.
    const mark = recorded.mark ?? newMark();
    if (recorded.mark === undefined) writeFileSync(join(recorded.at, 'mark'), mark);
    if (readFileSync(join(recorded.at, 'mark'), 'utf8') !== mark) {
      throw new PostgresStartError(
        `${recorded.at} is not the database of ${directory}. Put that one back, or delete ${directory} to begin anew.`,
      );
    }
    writeFileSync(note, `${JSON.stringify({ for: directory, at: recorded.at, mark })}\n`);
    markOwner(recorded.at, directory);
    return recorded.at;
  }
  const mark = newMark();
  const home = outsideDirectory(directory, mark);
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, 'mark'), mark);
  markOwner(home, directory);
  chownSync(home, account.uid, account.gid);
  requireOwn(home, account);
  writeFileSync(note, `${JSON.stringify({ for: directory, at: home, mark })}\n`);
  return home;
}

function newMark(): string {
  return randomBytes(8).toString('hex');
}

function requireOwn(home: string, account: NonNullable<Account>): void {
  const found = lstatSync(home, { throwIfNoEntry: false });
  if (found === undefined) {
    throw new PostgresStartError(
      `The database was in ${home} and is gone. Put it back, or delete .data to begin anew.`,
    );
  }
  if (found.isDirectory() && found.uid === account.uid) return;
  // Any user may create names in /var/tmp, and the owner of a directory could change the data in it.
  throw new PostgresStartError(`${home} is not a directory of user ${account.name}; move it away and start again.`);
}

/** Finds the outside directories that were used for this one before it was deleted. */
function forgottenHomes({ directory, home }: Place): string[] {
  if (home === directory) return [];
  const parent = dirname(home);
  const names = readdirSync(parent).filter((name) => join(parent, name).startsWith(outsideDirectory(directory)));
  return names.map((name) => join(parent, name)).filter((path) => path !== home);
}

/** Finds the server that already works on these data, if any. */
async function findRunning({ data, passwordFile }: Place): Promise<Running | null> {
  const until = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const file = join(data, 'postmaster.pid');
    if (!existsSync(file)) return null;
    const lines = readFileSync(file, 'utf8').split('\n');
    const running = { pid: Math.abs(Number(lines[0])), port: Number(lines[3]) };
    if (!Number.isSafeInteger(running.pid) || running.pid === 0 || !isAlive(running.pid)) return null;
    if (!commandOf(running.pid).includes('postgres')) {
      // After a reboot this pid belongs to another program; the server would mistake that for a live predecessor.
      rmSync(file, { force: true });
      return null;
    }
    if (!existsSync(passwordFile)) {
      // A server of an earlier version trusts every local user, so it is restarted.
      await end(running.pid, { signal: 'SIGINT', timeoutMs: STOP_TIMEOUT_MS, group: false });
      return null;
    }
    const theirs = await dataDirectoryAt(running.port, passwordFile);
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

/** Allows access over loopback with a password, and no other. */
const ACCESS_RULES = 'host all all 127.0.0.1/32 scram-sha-256\n';

/** Creates the data beside their place and moves them there: an interrupted creation leaves no partial data. */
async function createCluster(programs: string, place: Place, account: Account, sync: boolean): Promise<void> {
  const { home, data, passwordFile } = place;
  const fresh = join(home, 'data.new');
  rmSync(fresh, { recursive: true, force: true });
  const password = newPassword();
  writePrivately(passwordFile, password);
  // As root: the account cannot read our own password file.
  const handed = join(home, 'password.new');
  writePrivately(handed, password);
  if (account !== null) chownSync(handed, account.uid, account.gid);
  const args = ['-A', 'scram-sha-256', '--pwfile', handed, '-E', 'UTF8', '--locale=C', '-U', 'postgres', '-D', fresh];
  const made = await run(join(programs, 'initdb'), [...args, ...(sync ? [] : ['-N'])], {
    timeoutMs: INITDB_TIMEOUT_MS,
    env: serverEnvironment(),
    cwd: '/',
    ...accountOptions(account),
  });
  rmSync(handed, { force: true });
  if (made.code !== 0) {
    const reason = reasonIn(made.stderr);
    // For example in a container whose user is only a number.
    const advice = /look up effective user/.test(reason) ? ' Start as a user with a name, or set DATABASE_URL.' : '';
    throw new PostgresStartError(`PostgreSQL's data cannot be made in ${home}: ${reason}.${advice}`);
  }
  writeFileSync(join(fresh, 'pg_hba.conf'), ACCESS_RULES);
  renameSync(fresh, data);
}

/** Finds in a PostgreSQL program's output why it failed, such as a full disk or a user without a name. */
export function reasonIn(output: string): string {
  const found = /^(?:.*\b(?:FATAL|PANIC|ERROR|error)|initdb): +(.+)$/m.exec(output)?.[1];
  return (found ?? output.trim().split('\n').at(-1)!).replace(/\.$/, '');
}

/** Gives the superuser a password before a server listens: data of an earlier version have none and trust everybody. */
async function setSuperuserPassword(programs: string, place: Place, account: Account): Promise<void> {
  const password = newPassword();
  const single = ['--single', '-D', place.data, 'postgres'];
  const set = await run(join(programs, 'postgres'), single, {
    timeoutMs: INITDB_TIMEOUT_MS,
    env: serverEnvironment(),
    cwd: '/',
    input: `set log_min_error_statement = panic\nalter role postgres password '${password}'\n`,
    ...accountOptions(account),
  });
  if (set.code !== 0 || set.stderr.includes('ERROR:')) {
    throw new PostgresStartError(`PostgreSQL takes no password: ${set.stderr.trim()}`);
  }
  writeFileSync(join(place.data, 'pg_hba.conf'), ACCESS_RULES);
  writePrivately(place.passwordFile, password);
}

function newPassword(): string {
  return randomBytes(24).toString('hex');
}

/** Keeps the caller's PG… variables and language from the server. */
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

/** Reads the data directory of the server at the port: '' if it rejects the password, null if no server responds. */
async function dataDirectoryAt(port: number, passwordFile: string): Promise<string | null> {
  const config = { connectionString: urlAt(port, passwordFile), connectionTimeoutMillis: 2_000 };
  try {
    const { rows } = await withClient(config, (client) =>
      client.query<{ data_directory: string }>('show data_directory'),
    );
    return rows[0]?.data_directory ?? null;
  } catch (error) {
    return (error as { code?: unknown }).code === WRONG_PASSWORD ? '' : null;
  }
}

function urlAt(port: number, passwordFile: string): string {
  return `postgres://postgres:${readFileSync(passwordFile, 'utf8')}@127.0.0.1:${port}/postgres`;
}

function serverOf(
  running: Running,
  place: Place,
  options: PostgresOptions,
  fresh: { readonly exited: Promise<Exit>; readonly source: string; readonly isNew: boolean } | null,
): PostgresServer {
  const { home, data } = place;
  return {
    url: urlAt(running.port, place.passwordFile),
    outside: home === place.directory ? null : { at: home, isNew: fresh?.isNew === true },
    forgotten: forgottenHomes(place),
    port: running.port,
    pid: running.pid,
    adopted: fresh === null,
    source: fresh?.source ?? null,
    exited: fresh?.exited ?? gone(running.pid),
    async stop() {
      // SIGINT disconnects clients and writes all to disk. SIGTERM would wait for clients, SIGQUIT would not write.
      await end(running.pid, { signal: 'SIGINT', timeoutMs: STOP_TIMEOUT_MS, group: false });
      if (options.removeOnStop !== true) return;
      rmSync(data, { recursive: true, force: true });
      if (home !== resolve(options.directory)) rmSync(home, { recursive: true, force: true });
      rmSync(options.directory, { recursive: true, force: true });
    },
  };
}
