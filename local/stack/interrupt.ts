/** The first Ctrl-C stops in order; the second forces. */

/**
 * Signals within this time count as one Ctrl-C: the terminal sends one to the whole group, and npm passes its own on
 * to us.
 */
const SAME_WISH_MS = 700;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts the returned signal at the first Ctrl-C or other stop signal; calls `force` at the second. */
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

/** The user asked to stop. */
export class InterruptedError extends Error {
  override name = 'InterruptedError';
}
