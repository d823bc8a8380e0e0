import type { Log } from '../../telemetry/log.ts';
import type { Page } from '../../database/queries/rows.ts';
import { createRests } from './back-off.ts';

/** One kind of row that the relay looks after. */
export interface RelayStep<Row> {
  readonly name: string;
  /** At most `limit` rows after the cursor `after`, in a stable order; null: from the beginning. */
  readonly page: (after: readonly string[] | null, limit: number) => Promise<Page<Row>>;
  readonly idOf: (row: Row) => string;
  /** Serves one row. Idempotent. False: there was nothing to do. */
  readonly work: (row: Row) => Promise<boolean | void>;
  /** The pause of a served row, in ms; doubles up to an hour. Absent: none. */
  readonly againMs?: number;
}

export interface SweeperOptions {
  readonly log: Log;
  /** The first pause of a row that failed, in ms; doubles. */
  readonly everyMs: number;
  /** Pages in one sweep. */
  readonly pages: number;
  /** Rows at a time, of those that do not take long. */
  readonly concurrency: number;
  /**
   * Called with the error when nothing could be served because Temporal or the database is away; otherwise with null.
   */
  readonly health: (away: unknown) => void;
}

export interface RelaySweeper {
  /** True when there are more rows and this sweep had work. Throws when a page cannot be read. */
  sweep(stop: AbortSignal): Promise<boolean>;
  /** Resolves when nothing is under way. */
  drain(): Promise<void>;
}

const BATCH = 100;
/** A row that takes longer makes room for the next one, and goes on. */
const PLACE_MS = 500;
/** At most this many rows of a step go on without a place; with those that have one, 64 calls. */
export const MAX_LEFT_BEHIND = 56;

/**
 * Serves the rows of a step in turns. A sweep begins where the one before ended and goes on past rows that fail or
 * hang. A row that failed backs off, so that no number of such rows hides another. A slow row gives up its place: the
 * sweep ends without it, and it is not begun again before it ends.
 */
export function createSweeper<Row>(step: RelayStep<Row>, options: SweeperOptions): RelaySweeper {
  const rests = createRests(step, options);
  let after: readonly string[] | null = null;
  const underWay = new Map<string, Promise<void>>();
  /** The rows under way that have no place. */
  let left = 0;
  /** The rows of this sweep that had something to be done. */
  let done = 0;
  /** Since health was reported last. */
  let ended: { answered: boolean; away: unknown } = { answered: false, away: null };
  const isFull = () => left === MAX_LEFT_BEHIND;

  /** False: there was no answer. */
  async function work(row: Row): Promise<boolean> {
    try {
      const isDone = (await step.work(row)) !== false;
      if (isDone) done += 1;
      rests.served(row, isDone);
    } catch (error) {
      if (rests.failed(row, error) === 'away') {
        ended.away ??= error;
        return false;
      }
    }
    ended.answered = true;
    return true;
  }

  /** Works on a row until there is room for another one; false when there was no answer until then. */
  async function begin(row: Row): Promise<boolean> {
    const id = step.idOf(row);
    let isAnswered = false;
    const working = work(row).then((answered) => {
      isAnswered = answered;
      underWay.delete(id);
    });
    underWay.set(id, working);
    do await within(PLACE_MS, working);
    while (underWay.has(id) && isFull());
    if (underWay.has(id)) {
      left += 1;
      void working.then(() => (left -= 1));
    }
    return isAnswered;
  }

  async function serve(rows: readonly Row[], stop: AbortSignal): Promise<void> {
    const queue = rests.queueOf(rows);
    async function inOnePlace(): Promise<void> {
      for (let row = queue.shift(); row !== undefined && !stop.aborted; row = queue.shift()) {
        // A row that hangs again closes its place to the rest of those that failed.
        const isAgain = rests.hasFailed(row);
        if (!(await begin(row)) && isAgain) return;
      }
    }
    await Promise.all(Array.from({ length: options.concurrency }, inOnePlace));
    if (ended.answered || (rows.length === 0 && underWay.size === 0)) options.health(null);
    else if (ended.away !== null) options.health(ended.away);
    ended = { answered: false, away: null };
  }

  return {
    async sweep(stop) {
      done = 0;
      for (let page = 0; page < options.pages && !stop.aborted; page += 1) {
        // A row that ends while the page is read may still be on it.
        const busy = new Set(underWay.keys());
        const { rows, end } = await step.page(after, BATCH);
        rests.meet(rows);
        await serve(
          rows.filter((row) => !busy.has(step.idOf(row))),
          stop,
        );
        after = end;
        if (end !== null) continue;
        rests.forgetUnmet();
        return false;
      }
      return done > 0;
    },
    async drain() {
      await Promise.all(underWay.values());
    },
  };
}

/** Resolves with the work, or after so many ms. */
function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void work.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
