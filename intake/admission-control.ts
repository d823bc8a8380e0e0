import { AsyncResource } from 'node:async_hooks';
import { setImmediate as nextLoop } from 'node:timers/promises';
import { RequestRefused } from './refusal.ts';
import { QueueFull, type QueueLimits, KeyedQueue } from './keyed-queue.ts';

/**
 * Work about one order queues here, so that an order whose row is locked takes one connection and not the whole pool.
 */
const ORDER_LIMITS: QueueLimits = { maxWaiting: 200, maxWaitMs: 3_000 };

/**
 * Runs `work` in its turn. Throws {@link RequestRefused} `unavailable` when it gets none; `work` has not begun then.
 */
export type LimitPerKey = <T>(key: string, work: () => Promise<T>) => Promise<T>;

/** A bulkhead per key, in this process: slow work for one key delays no other key. */
export function limitPerKey(limits: QueueLimits = ORDER_LIMITS): LimitPerKey {
  const queue = new KeyedQueue<unknown>(limits);
  let asked = 0;
  return async <T>(key: string, work: () => Promise<T>) => {
    try {
      asked += 1;
      // The caller before it starts it: bound, so that its log lines have its own request's id.
      return (await queue.run(key, String(asked), AsyncResource.bind(work))) as T;
    } catch (error) {
      throw error instanceof QueueFull ? tooMany() : error;
    }
  };
}

const tooMany = () => new RequestRefused('unavailable', 'too much about the same order at once; nothing was accepted');

/** Unauthenticated senders get this much of each round of the event loop, in ms; others are served in between. */
const SHARE_MS = 2;
/** More than all connections can have under way. */
const MAX_WAITING = 4_000;

/**
 * Resolves in the caller's turn. The work that follows, up to its first wait, takes at most `shareMs` of each round of
 * the event loop, however many callers there are. Throws {@link RequestRefused} `unavailable` when too many wait.
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
        // The admitted caller does its work now, in microtasks.
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

/** Steady load has fewer under way at any moment. */
const BURST = 8;

/** Counts the work that is under way. */
export interface UnderWay {
  readonly count: () => number;
  /** More is under way than under steady load. */
  readonly isBurst: () => boolean;
  readonly run: <T>(work: () => Promise<T>) => Promise<T>;
}

export function countUnderWay(): UnderWay {
  let count = 0;
  return {
    count: () => count,
    isBurst: () => count > BURST,
    async run(work) {
      count += 1;
      try {
        return await work();
      } finally {
        count -= 1;
      }
    },
  };
}
