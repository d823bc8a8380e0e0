/** `.data/local.env`: how to reach what is running, for a shell, a script, the benchmark and the tests. */

import { join } from 'node:path';
import { writePrivately } from '../servers/files.ts';

/** In the order of the file; a variable that does not apply is left out. */
export const localEnvNames = [
  'API_URL',
  'API_KEY',
  'CALLBACK_BASE_URL',
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
] as const;

export type LocalEnv = { readonly [name in (typeof localEnvNames)[number]]?: string | null };

/** Rewrites the file in one step, mode 600. */
export function writeLocalEnv(dataDirectory: string, values: LocalEnv): void {
  const lines = localEnvNames.flatMap((name) => {
    const value = values[name];
    return value === undefined || value === null ? [] : [`${name}=${quote(value)}`];
  });
  writePrivately(
    join(dataDirectory, 'local.env'),
    `# Written by the local stack, again whenever something changes. Holds secrets.\n${lines.join('\n')}\n`,
  );
}

/** Readable by a shell and by `node --env-file`; only what needs quotes gets them. */
function quote(value: string): string {
  return /^[\w@%+=:,./-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
