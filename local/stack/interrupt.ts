/** Ctrl-C once stops in order, twice forces. */

/**
 * Signals of one Ctrl-C that arrive together are one wish: the terminal sends it to the whole group, and npm passes
 * its own on to us.
 */
const SAME_WISH_MS = 700;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts at the first wish to stop; calls `force` at the second. */
export function listenForInterrupts(force: () => void): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | null = null;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const now = performance.now();
      firstAt ??= now;
      if (!controller.signal.aborted) controller.abort();
      else if (now - firstAt > SAME_WISH_MS) force();
    });
  }
  return controller.signal;
}

/** Rejects with {@link InterruptedError} when the signal aborts. */
export function untilInterrupted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = () => reject(new InterruptedError());
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** Somebody asked to stop. */
export class InterruptedError extends Error {
  override name = 'InterruptedError';
}
