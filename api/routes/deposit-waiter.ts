/** Waits for changes of deposits; one query in an interval looks for all that wait. */
export interface DepositWaiter {
  /**
   * Resolves when the version of the deposit is another than `known`, after `withinMs`, when `until` aborts, and at once
   * if too many wait already, in this process or of this key.
   */
  wait(
    externalOrderNumber: string,
    known: string,
    how: { readonly keyId: string; readonly withinMs: number; readonly until: AbortSignal },
  ): Promise<void>;
  /** Looks soon: an event was published. */
  wake(): void;
  /** Ends all waits, and lets none begin. */
  close(): void;
}

export interface WaitLimits {
  readonly perProcess: number;
  readonly perKey: number;
  /** The interval of the looks, which a notification shortens. */
  readonly everyMs: number;
}

/** Each waits on a connection of its own; a listener has room for 2,000. */
export const WAIT_LIMITS: WaitLimits = { perProcess: 500, perKey: 50, everyMs: 1_000 };
/** However often events are published. */
const NOT_BEFORE_MS = 100;

interface Waiting {
  readonly externalOrderNumber: string;
  readonly known: string;
  readonly keyId: string;
  readonly done: () => void;
}

/** `look` returns the versions of these deposits; where it fails, the next one follows. */
export function createDepositWaiter(
  look: (orderNumbers: readonly string[]) => Promise<ReadonlyMap<string, string>>,
  limits: WaitLimits = WAIT_LIMITS,
): DepositWaiter {
  const waiting = new Set<Waiting>();
  let isClosed = false;
  let isLooking = false;
  let next: { readonly timer: NodeJS.Timeout; readonly at: number } | null = null;

  /** The next look is in so many ms, or earlier. */
  function plan(inMs: number): void {
    const at = performance.now() + inMs;
    if (waiting.size === 0 || (next !== null && next.at <= at)) return;
    clearTimeout(next?.timer);
    next = { timer: setTimeout(() => void lookForAll(), inMs), at };
  }

  async function lookForAll(): Promise<void> {
    next = null;
    if (isLooking) return plan(NOT_BEFORE_MS);
    isLooking = true;
    try {
      const asked = [...waiting];
      const versions = await look([...new Set(asked.map((one) => one.externalOrderNumber))]);
      for (const one of asked) if (versions.get(one.externalOrderNumber) !== one.known) one.done();
    } catch {
      // The database is away: the next look, or the end of the wait, finds out.
    } finally {
      isLooking = false;
      plan(limits.everyMs);
    }
  }

  return {
    wait(externalOrderNumber, known, { keyId, withinMs, until }) {
      const ofKey = [...waiting].filter((one) => one.keyId === keyId).length;
      if (isClosed || until.aborted || waiting.size >= limits.perProcess || ofKey >= limits.perKey)
        return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          until.removeEventListener('abort', done);
          waiting.delete(one);
          resolve();
        };
        const one: Waiting = { externalOrderNumber, known, keyId, done };
        const timer = setTimeout(done, withinMs);
        until.addEventListener('abort', done);
        waiting.add(one);
        plan(limits.everyMs);
      });
    },
    wake: () => plan(NOT_BEFORE_MS),
    close() {
      isClosed = true;
      clearTimeout(next?.timer);
      for (const { done } of waiting) done();
    },
  };
}
