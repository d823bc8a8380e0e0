/** Waits until placements are settled: on notifications of the database, and by a slow poll in case one is lost. */
export interface PlacementWaiter {
  /**
   * Subscribes, runs `begin`, then polls `isSettled` until it is true, or for `withinMs`. Returns whether it is
   * settled. When `begin` returns `not yet`, the first poll waits for a notification, or for the interval.
   */
  wait(
    externalOrderNumber: string,
    begin: () => Promise<'not yet' | 'perhaps'>,
    isSettled: () => Promise<boolean>,
    withinMs: number,
  ): Promise<boolean>;
  /** Called when the database notifies about this deposit. */
  wake(externalOrderNumber: string): void;
}

const POLL_MS = 500;

export function createPlacementWaiter(): PlacementWaiter {
  const waiting = new Map<string, Set<() => void>>();

  const wake = (externalOrderNumber: string) => {
    for (const resolve of waiting.get(externalOrderNumber) ?? []) resolve();
  };

  /** Resolves at the next notification, or after `waitMs`. */
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
      // Subscribe before the poll, so that no notification between the two is missed.
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
