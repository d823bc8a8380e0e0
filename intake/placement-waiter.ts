/** Waits for deposits whose placement is settled: told by the database, and asked slowly in case a telling is lost. */
export interface PlacementWaiter {
  /** Resolves true when `isSettled` does, false after `withinMs`. */
  wait(externalOrderNumber: string, isSettled: () => Promise<boolean>, withinMs: number): Promise<boolean>;
  /** The database has told of this one. */
  wake(externalOrderNumber: string): void;
}

const POLL_MS = 500;

export function createPlacementWaiter(): PlacementWaiter {
  const waiting = new Map<string, Set<() => void>>();

  const wake = (externalOrderNumber: string) => {
    for (const resolve of waiting.get(externalOrderNumber) ?? []) resolve();
  };

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

  return {
    wake,
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
  };
}
