import { isGrpcServiceError, NamespaceNotFoundError } from '@temporalio/client';
import { type Log, raiseAlarm } from '../../telemetry/log.ts';
import { isDatabaseAway } from '../../database/pool.ts';
import type { Page } from '../../database/queries/rows.ts';

/** One kind of row that the relay looks after. */
export interface RelayStep<Row> {
  readonly name: string;
  /** At most `limit` rows after `after`, in an order that lasts; null: from the beginning. */
  readonly page: (after: readonly string[] | null, limit: number) => Promise<Page<Row>>;
  readonly idOf: (row: Row) => string;
  /** Serves one row. Idempotent. False: there was nothing to do. */
  readonly work: (row: Row) => Promise<boolean | void>;
  /** How long a row that was served is left alone, in ms; doubles up to an hour. Not given: not at all. */
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
  /** Called with the error when nothing could be served because Temporal or the database is away; with null when it is not. */
  readonly health: (away: unknown) => void;
}

export interface RelaySweeper {
  /** True when there are more rows and this sweep had work. Throws when a page cannot be read. */
  sweep(stop: AbortSignal): Promise<boolean>;
  /** Resolves when nothing is under way. */
  drain(): Promise<void>;
}

/** A row that is left alone for a while. */
interface Rest {
  readonly until: number;
  /** How often in a row it was served, and how often it failed. */
  readonly served: number;
  readonly failed: number;
  readonly failedAt: number;
  /** People were told of it. */
  readonly told: boolean;
}
const NO_REST: Rest = { until: -Infinity, served: 0, failed: 0, failedAt: -Infinity, told: false };

const BATCH = 100;
/** A row that takes longer makes room for the next one, and goes on. */
const PLACE_MS = 500;
/** So many of a step go on without a place; with those that have one, 64 calls. */
export const MAX_LEFT_BEHIND = 56;
const MAX_REST_MS = 3_600_000;
/** What fails because the other side is away is soon tried again. */
export const MAX_REST_AWAY_MS = 15_000;
/** An answer that did not come in time may be an outage that others were spared. */
const ALARM_AFTER_FAILURES = { row: 3, away: 10 };

/**
 * Serves the rows of a step in turns. A sweep begins where the one before ended and goes on past what fails or hangs. A
 * row that failed rests for ever longer, so that no number of such rows hides another. One that takes long gives up its
 * place; the sweep ends without it, and it is not begun again before it ends. The third failure in a row, or the tenth
 * time-out between which others were answered, raises `relay_row_failed`.
 */
export function createSweeper<Row>(step: RelayStep<Row>, options: SweeperOptions): RelaySweeper {
  const rests = new Map<string, Rest>();
  let met = new Set<string>();
  let after: readonly string[] | null = null;
  const underWay = new Map<string, Promise<void>>();
  /** Of those under way: without a place. */
  let left = 0;
  /** Since the sweep began: rows that had something to be done. */
  let done = 0;
  /** Since health was told last. */
  let ended: { answered: boolean; away: unknown } = { answered: false, away: null };
  let answeredAt = -Infinity;
  const isFull = () => left === MAX_LEFT_BEHIND;
  const restOf = (row: Row): Rest => rests.get(step.idOf(row)) ?? NO_REST;
  const hasFailed = (row: Row): boolean => restOf(row).failed > 0;
  const leave = (id: string, alone: Rest) => {
    rests.set(id, alone);
    met.add(id);
  };

  function served(row: Row, isDone: boolean): void {
    const id = step.idOf(row);
    if (isDone) done += 1;
    if (!isDone || step.againMs === undefined) return void rests.delete(id);
    const { served: times } = restOf(row);
    const until = performance.now() + doubled(step.againMs, times, MAX_REST_MS);
    leave(id, { ...NO_REST, until, served: times + 1 });
  }

  function failed(row: Row, error: unknown): 'away' | 'row' {
    const id = step.idOf(row);
    const before = restOf(row);
    const fault = isAway(error) ? 'away' : 'row';
    const restMs = doubled(options.everyMs, before.failed, fault === 'away' ? MAX_REST_AWAY_MS : MAX_REST_MS);
    const failedAt = performance.now();
    const times = before.failed + 1;
    const isOutage = fault === 'away' && answeredAt < before.failedAt;
    const isNews = !isOutage && !before.told && times >= ALARM_AFTER_FAILURES[fault];
    const told = before.told || isNews;
    leave(id, { ...before, until: failedAt + restMs, failed: times, failedAt, told });
    if (isNews) raiseAlarm(options.log, 'relay_row_failed', { step: step.name, row: id, error: (error as Error).name });
    if (fault === 'away') ended.away ??= error;
    return fault;
  }

  /** False: there was no answer. */
  async function work(row: Row): Promise<boolean> {
    const fault = await step.work(row).then(
      (isDone) => served(row, isDone !== false),
      (error: unknown) => failed(row, error),
    );
    if (fault === 'away') return false;
    ended.answered = true;
    answeredAt = performance.now();
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
    const due = rows.filter((row) => restOf(row).until <= performance.now());
    // Those that failed before come last, the longest due first. One that hangs again closes its place to the rest of them.
    const again = due.filter(hasFailed).toSorted((a, b) => restOf(a).until - restOf(b).until);
    const queue = [...due.filter((row) => !hasFailed(row)), ...again];
    async function inOnePlace(): Promise<void> {
      for (let row = queue.shift(); row !== undefined && !stop.aborted; row = queue.shift()) {
        const isAgain = hasFailed(row);
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
        // What ends while the page is read may still be on it.
        const busy = new Set(underWay.keys());
        const { rows, end } = await step.page(after, BATCH);
        for (const row of rows) if (rests.has(step.idOf(row))) met.add(step.idOf(row));
        await serve(
          rows.filter((row) => !busy.has(step.idOf(row))),
          stop,
        );
        after = end;
        if (end !== null) continue;
        // A whole round: what was not met is no row of this step any more.
        for (const id of rests.keys()) if (!met.has(id)) rests.delete(id);
        met = new Set();
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

const doubled = (firstMs: number, times: number, maxMs: number): number => Math.min(maxMs, firstMs * 2 ** times);

/** gRPC: cancelled by the deadline, deadline exceeded, permission denied, resource exhausted, aborted, unavailable, unauthenticated. */
const AWAY = [1, 4, 7, 8, 10, 14, 16];

function isAway(error: unknown): boolean {
  if (isDatabaseAway(error)) return true;
  const { cause } = error as { cause?: unknown };
  return [error, cause].some(
    // A namespace that is not there is everybody's trouble too.
    (one) => one instanceof NamespaceNotFoundError || (isGrpcServiceError(one) && AWAY.includes(one.code)),
  );
}
