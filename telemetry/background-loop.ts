import { setTimeout as sleep } from 'node:timers/promises';

/** Work in the background. */
export interface Loop {
  /** Stops the loop; resolves when no round is running. */
  close(): Promise<void>;
}

export interface Rounds {
  /** One round. Returns the pause before the next in ms; null: there is no next. */
  readonly work: (stop: AbortSignal) => Promise<number | null>;
  /** Called with the n-th failure in a row. Returns the pause before the next try in ms. Must not throw. */
  readonly failed: (error: unknown, n: number) => number;
}

/** Runs rounds until it is closed or a round returns null. A failure does not end the loop. */
export function startLoop({ work, failed }: Rounds): Loop {
  const stop = new AbortController();
  async function run(): Promise<void> {
    for (let failures = 0; !stop.signal.aborted; ) {
      let pauseMs: number | null;
      try {
        pauseMs = await work(stop.signal);
        failures = 0;
      } catch (error) {
        failures += 1;
        pauseMs = failed(error, failures);
      }
      if (pauseMs === null) return;
      await sleep(pauseMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }
  const running = run();
  return {
    async close() {
      stop.abort();
      await running;
    },
  };
}
