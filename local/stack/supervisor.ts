/** Keeps the parts of the stack running: restarts a part that dies, and stops all in a given order. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Exit } from '../servers/process.ts';

/** A part that is up and ready. */
export type RunningPart = {
  readonly pid: number;
  /** Resolves when the part is gone, for any reason. */
  readonly exited: Promise<Exit>;
  /** Resolves when all processes of the part are gone; also after it died by itself. */
  stop(): Promise<void>;
  /** Kills it at once, without waiting. */
  kill(): void;
  /** The reason of its end from its own log. */
  lastWords?(): string | null;
};

export type StackPart = {
  readonly name: string;
  /** Resolves when the part is ready; otherwise rejects with the reason and leaves nothing running. */
  start(signal: AbortSignal): Promise<RunningPart>;
};

export type SupervisorEvent =
  | { readonly kind: 'died'; readonly part: string; readonly exit: Exit; readonly lastWords: string | null }
  | { readonly kind: 'restarted'; readonly part: string; readonly pid: number; readonly afterMs: number }
  | { readonly kind: 'failed'; readonly part: string; readonly error: unknown; readonly retryInMs: number };

export type Backoff = {
  /** The wait before the first retry, in ms; doubled after every further death or failure. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** A part that ran this long starts with the first wait again. */
  readonly calmAfterMs: number;
};

export type Supervisor = {
  /** Starts a part and keeps it running. Rejects if the first start fails, without a retry. */
  supervise(part: StackPart): Promise<RunningPart>;
  /** Stops the named parts one after the other and awaits each; skips names that were never started. */
  stop(order: readonly string[]): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
};

type Kept = { readonly abort: AbortController; readonly done: Promise<void>; running: RunningPart | null };

/** A part was to be started after `stop` or `kill`. */
export class StoppedError extends Error {
  override name = 'StoppedError';
}

const defaultBackoff: Backoff = { firstMs: 100, longestMs: 10_000, calmAfterMs: 10_000 };

/** Creates a supervisor that reports every event and never throws after a part's first start. */
export function createSupervisor(tell: (event: SupervisorEvent) => void, backoff = defaultBackoff): Supervisor {
  const kept = new Map<string, Kept>();
  let stopped = false;
  return {
    async supervise(part) {
      if (stopped) throw new StoppedError(`${part.name} is not started: everything is being stopped`);
      if (kept.has(part.name)) throw new Error(`${part.name} is supervised already`);
      const abort = new AbortController();
      const first = part.start(abort.signal);
      const entry: { -readonly [K in keyof Kept]: Kept[K] } = { abort, done: Promise.resolve(), running: null };
      // A stop during the first start waits for that start as well.
      entry.done = first.then(
        (running) => keep(part, running, abort.signal, backoff, tell, (now) => (entry.running = now)),
        () => {},
      );
      kept.set(part.name, entry);
      try {
        return await first;
      } catch (error) {
        kept.delete(part.name);
        throw error;
      }
    },
    async stop(order) {
      stopped = true;
      for (const name of order) {
        const part = kept.get(name);
        part?.abort.abort();
        await part?.done;
        kept.delete(name);
      }
    },
    kill() {
      stopped = true;
      for (const { abort, running } of kept.values()) {
        abort.abort();
        running?.kill();
      }
    },
  };
}

/** Keeps one part running until the signal aborts. */
async function keep(
  part: StackPart,
  first: RunningPart,
  signal: AbortSignal,
  backoff: Backoff,
  tell: (event: SupervisorEvent) => void,
  see: (running: RunningPart | null) => void,
): Promise<void> {
  let delayMs = backoff.firstMs;
  let running: RunningPart | null = first;
  while (running !== null) {
    see(running);
    const since = performance.now();
    const exit = await Promise.race([running.exited, aborted(signal)]);
    // A process killed by SIGKILL writes no reason.
    const words = exit?.signal === 'SIGKILL' ? null : (running.lastWords?.() ?? null);
    await running.stop();
    see(null);
    if (exit === null || signal.aborted) return;
    const diedAt = performance.now();
    tell({ kind: 'died', part: part.name, exit, lastWords: words });
    if (diedAt - since >= backoff.calmAfterMs) delayMs = backoff.firstMs;
    running = null;
    while (running === null) {
      await sleep(delayMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      delayMs = Math.min(delayMs * 2, backoff.longestMs);
      try {
        running = await part.start(signal);
      } catch (error) {
        if (signal.aborted) return;
        tell({ kind: 'failed', part: part.name, error, retryInMs: delayMs });
      }
    }
    tell({ kind: 'restarted', part: part.name, pid: running.pid, afterMs: performance.now() - diedAt });
  }
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    else signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}
