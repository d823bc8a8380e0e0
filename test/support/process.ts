import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { startOf } from './programs.ts';

export interface Part {
  readonly pid: number;
  /** Resolves with the signal that ended the process, or null when it ended by itself. */
  readonly exited: Promise<NodeJS.Signals | null>;
  kill(signal: NodeJS.Signals): Promise<void>;
  readonly log: () => string;
}

const ENTRIES = {
  api: 'api/main.ts',
  callbacks: 'api/callbacks-main.ts',
  worker: 'worker/main.ts',
  notifier: 'notifications/main.ts',
  codec: 'api/codec/codec-main.ts',
  shop: 'examples/shop/shop.ts',
} as const;
const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Starts a part as a process, as in production, and waits until it logs `ready`. Stops it after the test in any case.
 */
export async function startPart(
  part: keyof typeof ENTRIES,
  env: Readonly<Record<string, string>>,
  ready = `"${part} ready"`,
  logLevel = 'info',
): Promise<Part> {
  const child = spawn(process.execPath, startOf(ENTRIES[part]), {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env, LOG_LEVEL: logLevel },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<NodeJS.Signals | null>((resolve) =>
    // Not 'exit': then its last lines may still be on their way.
    child.once('close', (_code, signal) => resolve(signal)),
  );
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const log = collect(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', () => log().includes(ready) && resolve());
    void exited.then(() => reject(new Error(`${part} ended before it was ready:\n${log()}`)));
  });
  return {
    pid: child.pid!,
    exited,
    log,
    async kill(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

function collect(child: ChildProcess): () => string {
  let text = '';
  const add = (chunk: Buffer) => {
    text += chunk.toString('utf8');
  };
  child.stdout?.on('data', add);
  child.stderr?.on('data', add);
  return () => text;
}
