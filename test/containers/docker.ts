import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { root } from '../docs/variables.ts';

/** The compose project under test: a name, ports and a .env of its own, so that one that runs here is not touched. */

const PROFILES = ['--profile', 'sandbox', '--profile', 'notifications'];

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The time limit; then the program is killed, and its status is not 0. */
  readonly withinMs?: number;
}

/** Runs a program in the repository; returns its result for every exit status. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: root,
    // oxlint-disable-next-line node/no-process-env -- docker's own variables, and the PATH
    env: { ...process.env, ...options.env },
    timeout: options.withinMs ?? 600_000,
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => (said[name] += text));
  }
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status: status ?? -1, ...said }));
  });
}

/** Standard output of a program that has to succeed. */
export async function text(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ended with ${status}\n${stderr}${stdout}`);
  return stdout.trim();
}

export const docker = (...args: readonly string[]): Promise<string> => text('docker', args);

/** Writes .env as deploy/sandbox-env.sh prints it, with `change` applied, and returns the project that reads it. */
export async function openProject(file: string, change: Readonly<Record<string, string>>) {
  const printed = await text('sh', ['deploy/sandbox-env.sh']);
  const env = { ...parse(printed), ...change };
  const write = (more: Readonly<Record<string, string>> = {}) =>
    writeFileSync(file, lines({ ...env, ...more }), { mode: 0o600 });
  write();
  const place = { COMPOSE_PROJECT_NAME: 'deposit-containers', COMPOSE_ENV_FILES: file };
  const compose = (args: readonly string[], options: RunOptions = {}) =>
    run('docker', ['compose', ...PROFILES, ...args], { ...options, env: { ...place, ...options.env } });
  const composed = (args: readonly string[], options: RunOptions = {}) =>
    text('docker', ['compose', ...PROFILES, ...args], { ...options, env: { ...place, ...options.env } });
  return {
    env: env as Readonly<Record<string, string>>,
    /** The environment of `docker compose` and of our scripts beside it. */
    place: place as Readonly<Record<string, string>>,
    rewrite: write,
    compose,
    composed,
    ids: async (service: string) => (await composed(['ps', '-q', service])).split('\n').filter((id) => id !== ''),
    sql: (database: string, statement: string) =>
      composed(['exec', '-T', 'postgres', 'psql', '-U', 'postgres', '-XAt', '-d', database, '-c', statement]),
  };
}

export type Project = Awaited<ReturnType<typeof openProject>>;

const parse = (printed: string): Record<string, string> =>
  Object.fromEntries([...printed.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
const lines = (env: Readonly<Record<string, string>>): string =>
  Object.entries(env)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
