import type pg from 'pg';
import type { Log } from '../config/log.ts';
import { SETTLED_CHANNEL } from '../database/deposits.ts';

/** Waits for deposits whose placement is settled: told by the database, and asked slowly in case a telling is lost. */
export interface Settled {
  /** Resolves true when `isSettled` does, false after `withinMs`. */
  wait(externalOrderNumber: string, isSettled: () => Promise<boolean>, withinMs: number): Promise<boolean>;
  close(): Promise<void>;
}

const POLL_MS = 500;
const RECONNECT_MS = 1_000;

/** Listens on one connection of its own; while that is lost, waiting goes on by asking. */
export function createSettled(connect: () => Promise<pg.Client>, log: Log): Settled {
  const waiting = new Map<string, Set<() => void>>();
  let client: pg.Client | null = null;
  let closed = false;
  let again: NodeJS.Timeout | undefined;

  const wake = (externalOrderNumber: string) => {
    for (const resolve of waiting.get(externalOrderNumber) ?? []) resolve();
  };

  async function open(): Promise<void> {
    let next: pg.Client | null = null;
    try {
      next = await connect();
      next.on('error', () => lost(next));
      next.on('end', () => lost(next));
      next.on('notification', ({ payload }) => wake(payload ?? ''));
      await next.query(`listen ${SETTLED_CHANNEL}`);
      if (closed) await next.end();
      else client = next;
    } catch {
      lost(next);
    }
  }

  function lost(which: pg.Client | null): void {
    // One that connected and cannot listen, or was cut on its other side only, is not left behind.
    void which?.end().catch(() => undefined);
    if (which !== null && client === which) {
      client = null;
      if (!closed) log.warn('the listening connection was lost; asking instead until it is back');
    }
    if (closed || again !== undefined) return;
    again = setTimeout(() => {
      again = undefined;
      void open();
    }, RECONNECT_MS);
  }

  /** Until the next telling, or the next time to ask. */
  function nextLook(externalOrderNumber: string, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const told = waiting.get(externalOrderNumber) ?? new Set();
      waiting.set(externalOrderNumber, told);
      const done = () => {
        clearTimeout(timer);
        told.delete(done);
        if (told.size === 0) waiting.delete(externalOrderNumber);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      told.add(done);
    });
  }

  void open();
  return {
    async wait(externalOrderNumber, isSettled, withinMs) {
      const until = performance.now() + withinMs;
      for (;;) {
        // Subscribed before looking: a telling between the two is not missed.
        const look = nextLook(externalOrderNumber, Math.max(0, Math.min(POLL_MS, until - performance.now())));
        const settled = await isSettled();
        if (settled) wake(externalOrderNumber);
        await look;
        if (settled) return true;
        if (performance.now() >= until) return isSettled();
      }
    },
    async close() {
      closed = true;
      clearTimeout(again);
      await client?.end();
    },
  };
}
