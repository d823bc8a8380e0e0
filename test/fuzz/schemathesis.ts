import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../local/servers/paths.ts';

/** Pinned: another version generates other requests for the same seed. */
export const SCHEMATHESIS = '4.32.5';

const run = promisify(execFile);

/** The program in a virtual environment under .cache/, made there the first time. Throws when Python or pip fails. */
export async function findSchemathesis(): Promise<string> {
  const folder = join(root, '.cache', `schemathesis-${SCHEMATHESIS}`);
  const program = join(folder, 'bin', 'st');
  if (existsSync(join(folder, 'complete'))) return program;
  await run('python3', ['-m', 'venv', '--clear', folder]);
  await run(join(folder, 'bin', 'pip'), ['install', '--quiet', `schemathesis==${SCHEMATHESIS}`]);
  await writeFile(join(folder, 'complete'), '');
  return program;
}

export interface Round {
  readonly program: string;
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly seed: number;
  /** Test cases per operation and phase. */
  readonly examples: number;
  /** The folder for the configuration and output of the round. */
  readonly folder: string;
  readonly phases?: string;
}

export interface RoundResult {
  /** Its findings against the document, in its own words; empty when there are none. */
  readonly findings: string;
  readonly output: string;
}

/** One run over every operation of the document: positive, negative, and along the links. */
export async function runSchemathesis(round: Round): Promise<RoundResult> {
  const config = join(round.folder, `schemathesis-${round.seed}.toml`);
  await writeFile(config, configOf());
  const child = spawn(
    round.program,
    [
      '--config-file',
      config,
      'run',
      `${round.apiUrl}/openapi.json`,
      '--url',
      round.apiUrl,
      '--seed',
      String(round.seed),
      '--max-examples',
      String(round.examples),
      '--phases',
      round.phases ?? 'examples,coverage,fuzzing,stateful',
      '--continue-on-failure',
      '--no-shrink',
      '--no-color',
    ],
    {
      cwd: round.folder,
      // The key is not on the command line, where every user of the machine could read it.
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], FUZZ_API_KEY: round.apiKey, PYTHONHASHSEED: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const stop = () => child.kill('SIGTERM');
  process.once('exit', stop);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  process.off('exit', stop);
  const from = output.search(/^=+ (FAILURES|ERRORS) =+$/m);
  const findings = code === 0 ? '' : output.slice(Math.max(0, from));
  return { findings, output };
}

const configOf = (): string => `
headers = { Authorization = "Bearer \${FUZZ_API_KEY}" }
warnings = false
[checks.positive_data_acceptance]
# 422: the provider may refuse an order that is as described.
expected-statuses = ["2xx", 401, 403, 404, 409, 422, 429]
[[operations]]
include-operation-id = "createDeposit"
[operations.checks.positive_data_acceptance]
# 400: an amount that no payment could be booked for at the configured rates. Which ones, our own generator knows.
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 422, 429]
`;

/** Lines of a file of JSON lines, as far as they are whole. */
export async function readLines<T>(file: string): Promise<T[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
