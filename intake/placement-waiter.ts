/** Waits for deposits whose placement is settled: told by the database, and asked slowly in case a telling is lost. */
export interface PlacementWaiter {
  /**
   * Listens, does `begin`, then resolves true when `isSettled` does, false `withinMs` after that. It is not asked before it
   * is told, or slowly, where `begin` says that it cannot be settled yet.
   */
  wait(
    externalOrderNumber: string,
    begin: () => Promise<'not yet' | 'perhaps'>,
    isSettled: () => Promise<boolean>,
    withinMs: number,
  ): Promise<boolean>;
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
    async wait(externalOrderNumber, begin, isSettled, withinMs) {
      // Subscribed before looking: a telling between the two is not missed.
      let look = nextLook(externalOrderNumber, POLL_MS);
      if ((await begin()) === 'not yet') await look;
      const until = performance.now() + withinMs;
      for (;;) {
        look = nextLook(externalOrderNumber, Math.max(0, Math.min(POLL_MS, until - performance.now())));
        const settled = await isSettled();
        if (settled) wake(externalOrderNumber);
        await look;
        if (settled) return true;
        if (performance.now() >= until) return isSettled();
      }
    },
  };
}
