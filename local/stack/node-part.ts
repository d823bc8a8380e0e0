/** Starts, awaits, records and stops the engine's own processes (API, worker, notifier, sandbox, shop). */

import { closeSync, existsSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivately } from '../servers/files.ts';
import { belongsTo, root } from '../servers/paths.ts';
import { commandOf, describeExit, end, isSameProcess, lastLines, lastWords, parentOf } from '../servers/process.ts';
import {
  processesWith,
  type ProcessRecord,
  readableLines,
  recordOf,
  send,
  start,
  untilReady,
} from '../servers/process.ts';
import type { StackPart } from './supervisor.ts';

export type NodePartOptions = {
  readonly name: string;
  /** The part's entry point, relative to the clone's directory. */
  readonly entry: string;
  readonly env: Readonly<Record<string, string>>;
  readonly dataDirectory: string;
  /** Polled until it returns true; `output` returns the part's output since its start. */
  readonly isReady: (output: () => string) => boolean | Promise<boolean>;
  /** The time that it may take to finish its work; longer than the part's own limit. */
  readonly stopTimeoutMs: number;
  readonly readyTimeoutMs?: number;
  readonly cwd?: string;
};

const READY_TIMEOUT_MS = 60_000;
const TASK_TIMEOUT_MS = 90_000;
const POLL_MS = 40;

/** A part ended or did not become ready; the message contains the end of its log. */
export class PartStartError extends Error {
  override name = 'PartStartError';
}

function logFileOf(dataDirectory: string, name: string): string {
  return join(dataDirectory, 'logs', `${name}.log`);
}

function recordFileOf(dataDirectory: string, name: string): string {
  return join(dataDirectory, 'run', `${name}.json`);
}

/** Part of the command line from the start on, so that a part is found even if it was never recorded. */
function titleOf(dataDirectory: string, name: string): string {
  return `deposit-engine ${name} of ${JSON.stringify(dataDirectory)}`;
}

function nodeArguments(dataDirectory: string, name: string, entry: readonly string[]): string[] {
  return [`--title=${titleOf(dataDirectory, name)}`, '--import', 'tsx', ...entry];
}

/** Returns a part that the supervisor can keep running. */
export function nodePart(options: NodePartOptions): StackPart {
  const { name, dataDirectory } = options;
  const logFile = logFileOf(dataDirectory, name);
  return {
    name,
    async start(signal) {
      const started = await start(process.execPath, nodeArguments(dataDirectory, name, [options.entry]), {
        env: options.env,
        cwd: options.cwd ?? root,
        logFile,
      });
      writeRecord(dataDirectory, name, started.pid);
      const stop = async () => {
        await end(started.pid, { signal: 'SIGTERM', timeoutMs: options.stopTimeoutMs, group: true });
        rmSync(recordFileOf(dataDirectory, name), { force: true });
      };
      const output = () => readFrom(logFile, started.logOffset);
      const isReady = async () => (signal.aborted ? 'was stopped before it was ready' : options.isReady(output));
      const failure = await untilReady(started.exited, isReady, {
        timeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
        everyMs: POLL_MS,
        late: 'was not ready',
      });
      if (failure === null) {
        const kill = () => send(-started.pid, 'SIGKILL');
        return {
          pid: started.pid,
          exited: started.exited,
          stop,
          kill,
          lastWords: () => lastWords(lastLines(logFile, 60)),
        };
      }
      await stop();
      throw new PartStartError(`${name} ${failure}${whatItSaid(output(), logFile)}`);
    },
  };
}

/** The reason that the part gave in this start, first on the line; the log has the rest and earlier reasons. */
function whatItSaid(output: string, logFile: string): string {
  const lines = readableLines(output).slice(-15);
  if (lines.length === 0) return `. It said nothing; its log is ${logFile}.`;
  const reason = `: ${lastWords(output)}`;
  return lines.length === 1
    ? `${reason}\nIts log: ${logFile}`
    : `${reason}\nIt said, in ${logFile}:\n${lines.join('\n')}`;
}

function readFrom(path: string, offset: number): string {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(256 * 1024);
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, offset));
  } finally {
    closeSync(fd);
  }
}

/** Whether a GET of the URL returns 200 now. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/**
 * Runs an entry point that ends by itself, such as the migrations, with its arguments. Its output goes to the log.
 * @throws PartStartError if its exit code is not 0, or if it does not end in time.
 */
export async function runTask(
  name: string,
  entry: readonly string[],
  env: Readonly<Record<string, string>>,
  dataDirectory: string,
): Promise<void> {
  const logFile = logFileOf(dataDirectory, name);
  const task = await start(process.execPath, nodeArguments(dataDirectory, name, entry), { env, cwd: root, logFile });
  const kill = () => send(-task.pid, 'SIGKILL');
  // The task is in a group of its own, so a Ctrl-C that ends us would leave it running.
  process.once('exit', kill);
  const timer = setTimeout(kill, TASK_TIMEOUT_MS);
  const exit = await task.exited;
  clearTimeout(timer);
  process.off('exit', kill);
  if (exit.code === 0) return;
  const output = readFrom(logFile, task.logOffset);
  throw new PartStartError(`${name} ${describeExit(exit)}${whatItSaid(output, logFile)}`);
}

type PartRecord = ProcessRecord & { readonly for: string };

/** Records a process at once, so that a later start finds it if this one is killed. */
export function writeRecord(dataDirectory: string, name: string, pid: number): void {
  const record = recordOf(pid);
  if (record === null) return;
  writePrivately(recordFileOf(dataDirectory, name), `${JSON.stringify({ ...record, for: dataDirectory })}\n`);
}

/**
 * Finds the local stack that still runs on a data directory whose lock was deleted with the directory: the process
 * whose children have the directory's name in their command line. Null if there is none.
 */
export function stackThatRuns(dataDirectory: string, names: readonly string[]): number | null {
  for (const pid of names.flatMap((name) => processesWith([titleOf(dataDirectory, name)]))) {
    const parent = parentOf(pid);
    if (parent !== null && parent !== process.pid && commandOf(parent).includes('local/main.ts')) return parent;
  }
  return null;
}

/**
 * Ends the processes that an earlier start left running, in the given order, and returns the names of those it found.
 * Ends only processes that were recorded or have this directory's name in their command line, and only this clone's:
 * a copied clone has the other's records.
 */
export async function endLeftovers(
  dataDirectory: string,
  parts: ReadonlyArray<{ readonly name: string; readonly signal: NodeJS.Signals; readonly timeoutMs: number }>,
): Promise<string[]> {
  const found: string[] = [];
  for (const { name, signal, timeoutMs } of parts) {
    const file = recordFileOf(dataDirectory, name);
    const record = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as PartRecord) : null;
    const isOurs = record !== null && belongsTo(dataDirectory, record.for) && isSameProcess(record);
    // A start that was killed before it wrote the record has left its part running.
    const left = new Set([...(isOurs ? [record.pid] : []), ...processesWith([titleOf(dataDirectory, name)])]);
    for (const pid of left) await end(pid, { signal, timeoutMs, group: true });
    if (left.size > 0) found.push(name);
    rmSync(file, { force: true });
  }
  return found;
}
