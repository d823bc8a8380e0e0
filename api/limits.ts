import { setImmediate as nextLoop } from 'node:timers/promises';
import { ApiError } from './errors.ts';

export interface KeyLimits {
  /** So many of one key are under way. */
  readonly atOnce: number;
  /** So many more wait, each for so long; whoever comes then is turned away at once. */
  readonly waiting: number;
  readonly withinMs: number;
}

/** One order whose row is locked takes two connections, and not the pool. */
export const ORDER_LIMITS: KeyLimits = { atOnce: 2, waiting: 40, withinMs: 3_000 };

/** Runs `work` when its key has room. Throws {@link ApiError} `unavailable` without having begun when it gets none. */
export type LimitPerKey = <T>(key: string, work: () => Promise<T>) => Promise<T>;

/** A bulkhead per key, in this process: what is slow for one key is slow for no other. */
export function limitPerKey({ atOnce, waiting, withinMs }: KeyLimits = ORDER_LIMITS): LimitPerKey {
  const lanes = new Map<string, { underWay: number; readonly queue: (() => void)[] }>();

  async function enter(key: string): Promise<void> {
    const lane = lanes.get(key) ?? { underWay: 0, queue: [] };
    lanes.set(key, lane);
    if (lane.underWay < atOnce) {
      lane.underWay += 1;
      return;
    }
    if (lane.queue.length >= waiting) throw tooMany();
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        lane.queue.splice(lane.queue.indexOf(go), 1);
        reject(tooMany());
      }, withinMs);
      lane.queue.push(go);
    });
  }

  function leave(key: string): void {
    const lane = lanes.get(key)!;
    const next = lane.queue.shift();
    // The place is handed on, so that nobody who comes now takes it.
    if (next !== undefined) return next();
    lane.underWay -= 1;
    if (lane.underWay === 0) lanes.delete(key);
  }

  return async (key, work) => {
    await enter(key);
    try {
      return await work();
    } finally {
      leave(key);
    }
  };
}

const tooMany = () => new ApiError('unavailable', 'too much about the same order at once; nothing was accepted');

/** Of each round of the event loop strangers get so much, that others are served in between. */
const SHARE_MS = 2;
/** More than all connections can have under way. */
const MAX_WAITING = 4_000;

/**
 * Resolves when it is the caller's turn: what follows at once costs `shareMs` of each round of the event loop at most,
 * however many come. Throws {@link ApiError} `unavailable` when too many wait.
 */
export function takeTurns(shareMs = SHARE_MS): () => Promise<void> {
  const queue: (() => void)[] = [];
  let isPumping = false;

  async function pump(): Promise<void> {
    isPumping = true;
    while (queue.length > 0) {
      const until = performance.now() + shareMs;
      do {
        queue.shift()!();
        // What was let in does its work now, in microtasks.
        for (let i = 0; i < 8; i += 1) await Promise.resolve();
      } while (queue.length > 0 && performance.now() < until);
      await nextLoop();
    }
    isPumping = false;
  }

  return () =>
    new Promise((resolve, reject) => {
      if (queue.length >= MAX_WAITING) return reject(tooMany());
      queue.push(resolve);
      if (!isPumping) void pump();
    });
}
