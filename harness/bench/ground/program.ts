import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Undo } from './undo.ts';

/** A program of the engine, a floor or a rival, as a process like in production. */
export interface BenchProgram {
  readonly name: string;
  pid(): number;
  isAlive(): boolean;
  start(): Promise<void>;
  end(signal?: NodeJS.Signals): Promise<void>;
  /** The end of its output. */
  log(): string;
  /** The child's messages, for programs that send some. */
  onMessage(hear: (message: unknown) => void): void;
}

export interface ProgramOptions {
  readonly name: string;
  /** A file of JavaScript. */
  readonly file: string;
  readonly args?: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The text in its output that shows readiness. */
  readonly ready: string;
}

const READY_WITHIN_MS = 60_000;
const KEPT_OUTPUT = 200_000;
/** The time limit of a stop: SIGTERM lets a worker finish, and no worker needs longer. */
const STOP_WITHIN_MS = 20_000;

export function benchProgram({ name, file, args = [], cwd, env, ready }: ProgramOptions, undo: Undo): BenchProgram {
  let child: ChildProcess | null = null;
  let exited: Promise<unknown> = Promise.resolve();
  let text = '';
  let hear: (message: unknown) => void = () => undefined;
  const isAlive = () => child !== null && child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (!isAlive()) return;
    const force = setTimeout(() => child?.kill('SIGKILL'), STOP_WITHIN_MS);
    child!.kill(signal);
    await exited;
    clearTimeout(force);
  };
  undo.add(() => end('SIGKILL'));
  return {
    name,
    pid: () => child!.pid!,
    isAlive,
    log: () => text,
    onMessage: (listener) => void (hear = listener),
    end,
    async start() {
      const started = spawn(process.execPath, [file, ...args], {
        cwd,
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production', ...env },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      child = started;
      exited = once(started, 'exit');
      started.on('message', (message) => hear(message));
      text = '';
      await new Promise<void>((resolve, reject) => {
        const settle = (error: Error | null) => {
          clearTimeout(timer);
          if (error === null) resolve();
          else reject(error);
        };
        const fail = (why: string) => settle(new Error(`${name} ${why}:\n${text.slice(-3_000)}`));
        const timer = setTimeout(() => fail(`was not ready within ${READY_WITHIN_MS / 1_000} s`), READY_WITHIN_MS);
        for (const stream of [started.stdout, started.stderr])
          stream!.setEncoding('utf8').on('data', (chunk: string) => {
            text = (text + chunk).slice(-KEPT_OUTPUT);
            if (text.includes(ready)) settle(null);
          });
        started.once('exit', () => fail('ended before it was ready'));
      });
    },
  };
}
