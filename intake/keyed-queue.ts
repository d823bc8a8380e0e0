/** The work was not begun: too many wait for its key, or it waited too long. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull';
}

export interface QueueLimits {
  /** How many different pieces of work may wait for one key. */
  readonly maxWaiting: number;
  /** Work that has not begun by then is given up. Milliseconds. */
  readonly maxWaitMs: number;
}

/** So many equal pieces of work become one: the database counts no more at once. */
const MAX_EQUAL = 1_000;

interface Waiting<T> {
  readonly work: (times: number) => Promise<T>;
  /** The callers that wait for this piece of work. */
  readonly askers: { readonly resolve: (done: T) => void; readonly reject: (error: unknown) => void }[];
  readonly timer: NodeJS.Timeout;
}

/**
 * Runs one piece of work at a time for each key, in order. Work that would wait for the same row of the database waits
 * here and holds no connection. Equal pieces of work (same `name`) that wait become one, which receives their number.
 */
export class KeyedQueue<T> {
  readonly #limits: QueueLimits;
  readonly #queues = new Map<string, Map<string, Waiting<T>>>();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Whether a piece of work for this key would have to wait. */
  isBusy(key: string): boolean {
    return this.#queues.has(key);
  }

  /** Every caller gets the one result or the one error. Rejects with {@link QueueFull} when the work was not begun. */
  async run(key: string, name: string, work: (times: number) => Promise<T>): Promise<T> {
    const waiting = this.#queues.get(key);
    if (waiting !== undefined) return this.#wait(waiting, name, work);
    this.#queues.set(key, new Map());
    try {
      return await work(1);
    } finally {
      this.#goOn(key);
    }
  }

  #wait(waiting: Map<string, Waiting<T>>, name: string, work: (times: number) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const same = waiting.get(name);
      if ((same?.askers.length ?? 0) >= MAX_EQUAL) return reject(new QueueFull('too many wait for the same'));
      if (same !== undefined) return same.askers.push({ resolve, reject });
      if (waiting.size >= this.#limits.maxWaiting) return reject(new QueueFull('too many wait'));
      const giveUp = () => {
        waiting.delete(name);
        for (const asker of entry.askers) asker.reject(new QueueFull('waited too long'));
      };
      const entry: Waiting<T> = {
        work,
        askers: [{ resolve, reject }],
        timer: setTimeout(giveUp, this.#limits.maxWaitMs),
      };
      return waiting.set(name, entry);
    });
  }

  #goOn(key: string): void {
    const waiting = this.#queues.get(key)!;
    const [next] = waiting;
    if (next === undefined) return void this.#queues.delete(key);
    const [name, { work, askers, timer }] = next;
    waiting.delete(name);
    clearTimeout(timer);
    // Nobody awaits this: its result or error goes to the callers.
    void this.#finish(key, work, askers);
  }

  async #finish(key: string, work: Waiting<T>['work'], askers: Waiting<T>['askers']): Promise<void> {
    try {
      const done = await work(askers.length);
      for (const asker of askers) asker.resolve(done);
    } catch (error) {
      for (const asker of askers) asker.reject(error);
    } finally {
      this.#goOn(key);
    }
  }
}
