/** `npm run sandbox`: the provider's sandbox by itself, with a PostgreSQL of its own if none is given. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { tellMisspelt } from '../config/known-variables.ts';
import { writePrivately } from './servers/files.ts';
import { takeLock } from './servers/lock.ts';
import { dataDirectory, root } from './servers/paths.ts';
import { startPostgres } from './servers/postgres.ts';
import { forgetLocalEnv } from './stack/local-env.ts';
import '../config/broken-pipe.ts';

const USAGE = `npm run sandbox [-- DIRECTORY | --help]

Starts the sandbox of the payment provider by itself. What it keeps is in DIRECTORY, by default .data: a second start
goes on with the same orders, keys and certificate. DATABASE_URL_SANDBOX names a PostgreSQL instead of one of its own.
Settings: docs/reference/settings.md.`;

// This sandbox must not use the engine's database, nor the token of the engine's sandbox.
forgetLocalEnv(process.env);

/** Holds everything that the sandbox keeps. */
const directory = directoryOf(process.argv.slice(2));
tellMisspelt((line) => console.error(line));
const hasDatabase = [process.env['DATABASE_URL_SANDBOX'], process.env['DATABASE_URL']].some(Boolean);

process.exitCode = hasDatabase ? await run({}) : await runWithPostgres();

/** Returns the directory in the arguments. Without one, ends the program: code 0 for `--help`, else code 2. */
function directoryOf(args: readonly string[]): string {
  try {
    const options = { help: { type: 'boolean', short: 'h', default: false } } as const;
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
    if (positionals.length > 1) throw new Error('One directory at most');
    if (!values.help) return resolve(positionals[0] ?? dataDirectory);
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message.split('.')[0]}.\n\n${USAGE}`);
    process.exit(2);
  }
}

async function runWithPostgres(): Promise<number> {
  const unlock = takeLock(join(directory, 'sandbox.lock'));
  try {
    const postgres = await startPostgres({ directory: join(directory, 'sandbox-postgres') });
    try {
      return await run({ DATABASE_URL_SANDBOX: postgres.url });
    } finally {
      await postgres.stop();
    }
  } finally {
    unlock();
  }
}

/** Runs the sandbox as the same process as in production, passes signals on to it, and returns its exit code. */
async function run(database: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'sandbox/main.ts'], {
    cwd: root,
    stdio: 'inherit',
    env: {
      SANDBOX_TLS_DIRECTORY: join(directory, 'sandbox-tls'),
      SANDBOX_CONTROL_TOKEN: controlToken(),
      ...process.env,
      ...database,
    },
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, forward);
  return exitOf(child);
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code) => done(code ?? 1));
  });
}

/** Creates the token at the first start and keeps it in a file, so that scripts survive a restart. */
function controlToken(): string {
  const file = join(directory, 'sandbox-control-token');
  if (!existsSync(file)) writePrivately(file, `${randomBytes(24).toString('base64url')}\n`);
  if (!process.env['SANDBOX_CONTROL_TOKEN']) console.error(`Control token: see ${file}`);
  return readFileSync(file, 'utf8').trim();
}
