/** `.data/local.env`: addresses and keys of the running stack, for a shell, a script, the benchmark and the tests. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { writePrivately } from '../servers/files.ts';

/** The variables in the order of the file; one that does not apply is left out. */
export const localEnvNames = [
  'API_URL',
  'API_KEY',
  'CALLBACK_BASE_URL',
  'SHOP_URL',
  'MTPAY_BASE_URL',
  'MTPAY_ACCESS_KEY',
  'MTPAY_SECRET_KEY',
  'MTPAY_ACK',
  'SANDBOX_CONSOLE_URL',
  'SANDBOX_CONTROL_TOKEN',
  'TEMPORAL_ADDRESS',
  'TEMPORAL_UI_URL',
  'DATABASE_URL',
  'WORKER_PID',
  'API_PID',
  'SANDBOX_PID',
  'NOTIFIER_PID',
  'SHOP_PID',
] as const;

export type LocalEnv = { readonly [name in (typeof localEnvNames)[number]]?: string | null };

/** No stack runs; the message says what to do. */
export class NoStackError extends Error {
  override name = 'NoStackError';
  constructor(message = 'Nothing runs here: start it with npm start, in another terminal.') {
    super(message);
  }
}

/** The variables of the stack that runs, or ran last, on this directory. Throws {@link NoStackError} if none ever did. */
export function readLocalEnv(dataDirectory: string): LocalEnv & { readonly API_URL: string; readonly API_KEY: string } {
  const file = join(dataDirectory, 'local.env');
  const { API_URL, API_KEY, ...rest } = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
  if (!API_URL || !API_KEY) throw new NoStackError();
  return { ...rest, API_URL, API_KEY };
}

/** Holds hashes of the variables from the file: a command recognizes them, and values that the user set since. */
const MARKS = 'LOCAL_ENV';

const markOf = (name: string, value: string): string =>
  createHash('sha256').update(`${name}=${value}`).digest('hex').slice(0, 12);

/**
 * Removes from an environment the variables that came from a `local.env`, of this clone or another: the commands of the
 * local stack must not take them for an external server's.
 */
export function forgetLocalEnv(env: NodeJS.ProcessEnv): void {
  const marks = new Set(env[MARKS]?.split(','));
  for (const [name, value = ''] of Object.entries(env)) if (marks.has(markOf(name, value))) delete env[name];
  delete env[MARKS];
}

/** Replaces the file atomically, with mode 600. */
export function writeLocalEnv(dataDirectory: string, values: LocalEnv): void {
  const given = localEnvNames.flatMap((name) => {
    const value = values[name];
    return value === undefined || value === null ? [] : [{ name, value }];
  });
  const marks = given.filter(({ name }) => !name.endsWith('_PID')).map(({ name, value }) => markOf(name, value));
  const lines = [...given, { name: MARKS, value: marks.join(',') }].map(({ name, value }) => `${name}=${quote(value)}`);
  writePrivately(
    join(dataDirectory, 'local.env'),
    `# Written by the local stack, again whenever something changes. Holds secrets.\n${lines.join('\n')}\n`,
  );
}

/** Quotes a value for a shell and for `node --env-file`, only if needed. */
function quote(value: string): string {
  return /^[\w@%+=:,./-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
