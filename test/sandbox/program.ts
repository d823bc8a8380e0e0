import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll } from 'vitest';
import type { Sandbox } from '../../sandbox/server.ts';
import { startOf } from '../support/programs.ts';
import { ACCESS_KEY, CONTROL_TOKEN, eventually, PLAIN, SECRET_KEY } from './support.ts';

export interface Program {
  readonly child: ChildProcess;
  /** The parts that a client needs. */
  readonly sandbox: Sandbox;
  readonly output: () => string;
}

/** The sandbox as a process of its own, once it logs that it listens. Killed with the file. */
export async function runProgram(databaseUrl: string, env: Record<string, string> = {}): Promise<Program> {
  const child = spawn(process.execPath, startOf('sandbox/main.ts'), {
    env: {
      PATH: process.env['PATH'],
      ...PLAIN,
      SANDBOX_LISTEN: '127.0.0.1:0',
      DATABASE_URL: databaseUrl,
      SANDBOX_ACCESS_KEY: ACCESS_KEY,
      SANDBOX_SECRET_KEY: SECRET_KEY,
      SANDBOX_CONTROL_TOKEN: CONTROL_TOKEN,
      SANDBOX_ANSWER_TIMEOUT: '1s',
      ...env,
    },
  });
  afterAll(() => {
    child.kill('SIGKILL');
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const url = await eventually(() => {
    if (child.exitCode !== null) throw new Error(output);
    const line = output.split('\n').find((each) => each.includes('"sandbox listening"') && each.endsWith('}'));
    return line === undefined ? undefined : (JSON.parse(line) as { url: string }).url;
  });
  return { child, sandbox: { url, accessKey: ACCESS_KEY } as Sandbox, output: () => output };
}

/** The exit code, or the signal that ended it. */
export const ended = (child: ChildProcess): Promise<number | NodeJS.Signals> =>
  eventually(() => child.exitCode ?? child.signalCode ?? undefined);
