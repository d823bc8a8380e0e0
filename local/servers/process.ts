/** Identifies processes of this machine, starts them in a group of their own, ends them and confirms the end. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The poll interval for a process that is not our child; its end cannot be awaited otherwise. */
const POLL_MS = 50;
const LOG_LIMIT_BYTES = 10_000_000;

/**
 * Distinguishes a process from a later one with the same pid: the time when it started, as the kernel records it.
 * Null if there is no such process, or if it is a zombie.
 */
function processIdentity(pid: number): string | null {
  try {
    if (!existsSync('/proc/self/stat')) {
      const [state, ...started] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
        .trim()
        .split(/\s+/);
      return state === undefined || state === '' || state.startsWith('Z') ? null : started.join(' ');
    }
    const fields = statOf(pid);
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${fields[19]}`;
  } catch {
    return null;
  }
}

/** The fields of the kernel's record after the second: that is the program's name in brackets and may hold any text. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Whether the process exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  return processIdentity(pid) !== null;
}

/** The command line of a live process, to identify its program; empty if it cannot be read. */
export function commandOf(pid: number): string {
  try {
    if (existsSync('/proc/self/stat')) return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

/** Finds live processes whose command line contains each of these texts. */
export function processesWith(texts: readonly string[]): number[] {
  const pids = existsSync('/proc/self/stat')
    ? readdirSync('/proc').map(Number)
    : execFileSync('ps', ['-axo', 'pid='], { encoding: 'utf8' }).trim().split(/\s+/).map(Number);
  return pids.filter((pid) => {
    if (!Number.isSafeInteger(pid) || pid === process.pid) return false;
    const command = commandOf(pid);
    return texts.every((text) => command.includes(text));
  });
}

/** The pid of a live process's parent; 1 or an unrelated pid if the parent is gone; null if the process is gone. */
export function parentOf(pid: number): number | null {
  try {
    if (!existsSync('/proc/self/stat')) {
      return Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)], { encoding: 'utf8' }));
    }
    return Number(statOf(pid)[1]);
  } catch {
    return null;
  }
}

/** A process as recorded for a later start, which must not mistake another process with the same pid for it. */
export type ProcessRecord = { readonly pid: number; readonly identity: string };

/** Returns the record of a live process; null if it is already gone. */
export function recordOf(pid: number): ProcessRecord | null {
  const identity = processIdentity(pid);
  return identity === null ? null : { pid, identity };
}

/** Whether the recorded process itself is still alive. */
export function isSameProcess(record: ProcessRecord): boolean {
  return processIdentity(record.pid) === record.identity;
}

/** Resolves to true when the process is gone, or to false after the timeout. */
async function waitUntilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  while (isAlive(pid)) {
    if (performance.now() > until) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** Resolves when a process that is not our child is gone. The wait does not keep our process alive. */
export async function gone(pid: number): Promise<Exit> {
  while (isAlive(pid)) await sleep(POLL_MS, undefined, { ref: false });
  return { code: null, signal: null };
}

/** How a child ended. */
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A child's end in words: `ended with code 1`, `was ended by SIGKILL`. */
export function describeExit(exit: Exit): string {
  if (exit.signal !== null) return `was ended by ${exit.signal}`;
  return exit.code === null ? 'ended' : `ended with code ${exit.code}`;
}

/**
 * Polls until `isReady` resolves to true, and resolves to null then. Else resolves to what happened: the text that
 * `isReady` resolved to, the program's end, or `late` and the time limit.
 */
export async function untilReady(
  exited: Promise<Exit>,
  isReady: () => Promise<boolean | string>,
  { timeoutMs, everyMs, late }: { readonly timeoutMs: number; readonly everyMs: number; readonly late: string },
): Promise<string | null> {
  let exit: Exit | null = null;
  void exited.then((value) => (exit = value));
  const until = performance.now() + timeoutMs;
  while (performance.now() < until) {
    if (exit !== null) return describeExit(exit);
    const ready = await isReady();
    if (ready !== false) return ready === true ? null : ready;
    await sleep(everyMs);
  }
  return `${late} within ${timeoutMs / 1000} s`;
}

export type SpawnOptions = {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Standard output and error are appended here. */
  readonly logFile: string;
};

/** A started program; its end can be awaited repeatedly. */
export type RunningProgram = { readonly pid: number; readonly exited: Promise<Exit>; readonly logOffset: number };

/**
 * Starts a program as leader of its own process group: Ctrl-C in the terminal reaches only us, and we decide the order
 * of stopping. Output goes directly to a file, because a pipe would break if we were killed first.
 * Rejects if the program cannot be started.
 */
export async function start(program: string, args: readonly string[], options: SpawnOptions): Promise<RunningProgram> {
  const { fd, logOffset } = openLog(options.logFile);
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', fd, fd],
      cwd: options.cwd ?? process.cwd(),
      env: options.env ?? process.env,
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    const exited = exitOf(child);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return { pid: child.pid as number, exited, logOffset };
  } finally {
    closeSync(fd);
  }
}

function openLog(path: string): { fd: number; logOffset: number } {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && statSync(path).size > LOG_LIMIT_BYTES) renameSync(path, `${path}.1`);
  const fd = openSync(path, 'a', 0o600);
  return { fd, logOffset: statSync(path).size };
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: null, signal: null }));
  });
}

/**
 * Sends the signal to a process, waits, and kills it after the timeout. With `group`, the kill and a last sweep reach
 * its whole process group, so that none of its children outlives it.
 */
export async function end(
  pid: number,
  options: { readonly signal: NodeJS.Signals; readonly timeoutMs: number; readonly group: boolean },
): Promise<void> {
  const target = options.group ? -pid : pid;
  send(target, options.signal);
  if (!(await waitUntilGone(pid, options.timeoutMs))) {
    send(target, 'SIGKILL');
    await waitUntilGone(pid, 5_000);
  }
  if (options.group) send(target, 'SIGKILL');
}

/** Sends a signal to a process, or with a negative pid to a process group; a process that is gone is no error. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export type RunResult = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/**
 * Runs a program to its end and returns its output. Never throws: for a program that is missing or too slow, `code` is
 * null and `stderr` holds the reason.
 */
export function run(
  program: string,
  args: readonly string[],
  options: {
    readonly timeoutMs: number;
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    readonly uid?: number;
    readonly gid?: number;
    /** The program's standard input. Default: empty. */
    readonly input?: string;
  },
): Promise<RunResult> {
  return new Promise((resolve) => {
    const { timeoutMs, input = '', ...rest } = options;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, ...rest });
    // A program may end without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    let stdout = '';
    let stderr = '';
    let late = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const kill = () => {
      if (child.pid !== undefined) send(-child.pid, 'SIGKILL');
    };
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, timeoutMs);
    // It is in a group of its own, so a Ctrl-C that ends us would leave it behind.
    process.once('exit', kill);
    const settle = () => {
      clearTimeout(timer);
      process.off('exit', kill);
    };
    child.once('error', (error) => {
      settle();
      resolve({ code: null, stdout, stderr: error.message });
    });
    child.once('close', (code) => {
      settle();
      resolve(late ? { code: null, stdout, stderr: `no answer within ${timeoutMs} ms` } : { code, stdout, stderr });
    });
  });
}

/** Returns the line of a program's output with its last error, else the last line; null without output. */
export function lastWords(output: string): string | null {
  const lines = readableLines(output);
  const found = lines.findLast((line) => /^(\w*Error|error|FATAL|panic)\b.*:/.test(line)) ?? lines.at(-1);
  return found === undefined ? null : found.slice(0, 200);
}

/** Stack frames, places in files, bytes, members of an error. */
const NOISE = [
  /^\s*$/,
  /^\s+at /,
  /^\s+\^/,
  /^Node\.js v|^Emitted 'error' event/,
  /^(node:|\/).*:\d+$/,
  /^[\s\d,]+$/,
  /^[\s\]{}[(),]+$/,
  /^\s+(code|errno|syscall|address|port|path|hostname|details|metadata|options|internalRepr)\b.*[:{]/,
];

/** Returns the lines of a program's output for a person: no stack frames, no bytes, and only the words of our log. */
export function readableLines(output: string): string[] {
  const lines = output.split('\n');
  return lines.flatMap((line, index) => {
    // Node prints the line of code, and an arrow below it.
    if (NOISE.some((noise) => noise.test(line)) || /^\s+\^/.test(lines[index + 1] ?? '')) return [];
    return line.startsWith('{"level":') ? wordsOf(line) : [line.replace(/ \{$/, '').trimEnd()];
  });
}

const WARNING = 40;

function wordsOf(line: string): string[] {
  try {
    const { level, msg, err } = JSON.parse(line) as { level: number; msg?: string; err?: { message?: string } };
    if (level < WARNING) return [];
    return [`${level > WARNING ? 'error' : 'warning'}: ${[msg, err?.message].filter(Boolean).join(': ')}`];
  } catch {
    return [line];
  }
}

/** The last lines of a log, for a sentence about why a part did not start. */
export function lastLines(path: string, count: number): string {
  if (!existsSync(path)) return '';
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
}
