interface Waiting<I, O> {
  readonly item: I;
  readonly resolve: (answer: O) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

export interface BatcherOptions {
  /** Items in one statement; the ledger takes 500. */
  readonly max?: number;
  /** Batches in progress at once: one works while the other flushes; more would wait for the clearing account's row. */
  readonly lanes?: number;
  readonly queueMax?: number;
  /** An item that was not sent by then is given up; default: it waits as long as it takes. Milliseconds. */
  readonly maxWaitMs?: number;
}

/** The batcher accepts no more items, or the item waited too long. Nothing was sent; retry later. */
export class BatcherFull extends Error {}

export interface Batcher<I, O> {
  (item: I): Promise<O>;
  /** Resolves when every item accepted so far has an answer. */
  drain(): Promise<void>;
}

/**
 * Whether the SQLSTATE class means that one item is at fault, or that a smaller batch may succeed
 * (docs/reference/ledger.md#why-a-credit-is-written-once).
 */
const isItemsOwnFault = (error: unknown): boolean =>
  /^(22|23|40|P0)/.test(String((error as { code?: unknown } | null)?.code));

/**
 * While one batch commits, the next collects; when idle, a batch of one is sent at once. No timer, no added latency. A
 * batch that fails because of one item is halved until that item is alone, so that it fails no other.
 */
export function createBatcher<I, O>(
  run: (items: readonly I[]) => Promise<readonly O[]>,
  { max = 200, lanes = 2, queueMax = 5_000, maxWaitMs }: BatcherOptions = {},
): Batcher<I, O> {
  const queue: Waiting<I, O>[] = [];
  const idle: (() => void)[] = [];
  let busy = 0;

  async function settle(batch: readonly Waiting<I, O>[]): Promise<void> {
    try {
      const answers = await run(batch.map((waiting) => waiting.item));
      for (const [i, waiting] of batch.entries()) waiting.resolve(answers[i]!);
    } catch (error) {
      if (batch.length === 1 || !isItemsOwnFault(error)) {
        for (const waiting of batch) waiting.reject(error);
        return;
      }
      const half = batch.length >> 1;
      await settle(batch.slice(0, half));
      await settle(batch.slice(half));
    }
  }

  function pump(): void {
    for (; busy < lanes && queue.length > 0; busy += 1) {
      const batch = queue.splice(0, max);
      for (const { timer } of batch) clearTimeout(timer);
      void settle(batch).finally(() => {
        busy -= 1;
        pump();
      });
    }
    if (busy === 0) for (const done of idle.splice(0)) done();
  }

  const add = (item: I) =>
    new Promise<O>((resolve, reject) => {
      if (queue.length >= queueMax) return reject(new BatcherFull(`${queueMax} are waiting already`));
      const giveUp = () => {
        queue.splice(queue.indexOf(waiting), 1);
        reject(new BatcherFull('waited too long'));
      };
      const timer = maxWaitMs === undefined ? undefined : setTimeout(giveUp, maxWaitMs);
      const waiting = { item, resolve, reject, timer };
      queue.push(waiting);
      return queueMicrotask(pump);
    });
  return Object.assign(add, {
    drain: () =>
      new Promise<void>((resolve) => {
        idle.push(resolve);
        pump();
      }),
  });
}
