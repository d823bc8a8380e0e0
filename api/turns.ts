import { isGrpcServiceError } from '@temporalio/client';
import { type Log, raiseAlarm } from '../config/log.ts';
import { isDatabaseAway } from '../database/pool.ts';
import type { Page } from '../database/rows.ts';

/** One kind of row that the relay looks after. */
export interface Step<Row> {
  readonly name: string;
  /** At most `limit` rows after `after`, in an order that lasts; null: from the beginning. */
  readonly page: (after: readonly string[] | null, limit: number) => Promise<Page<Row>>;
  readonly idOf: (row: Row) => string;
  /** Serves one row. Idempotent. False: there was nothing to do. */
  readonly work: (row: Row) => Promise<boolean | void>;
  /** How long a row that was served is left alone, in ms; doubles up to an hour. Not given: not at all. */
  readonly againMs?: number;
}

export interface TurnOptions {
  readonly log: Log;
  /** The first pause of a row that failed, in ms; doubles. */
  readonly everyMs: number;
  /** Pages in one sweep. */
  readonly pages: number;
  /** Rows at a time. */
  readonly concurrency: number;
  /** Called with the error when nothing could be served because Temporal or the database is away; with null when it is not. */
  readonly health: (away: unknown) => void;
}

/** A row that is left alone for a while. */
interface Rest {
  readonly until: number;
  /** How often in a row it was served, and how often it failed. */
  readonly served: number;
  readonly failed: number;
  /** People were told of it. */
  readonly told: boolean;
}
const NO_REST: Rest = { until: Number.NEGATIVE_INFINITY, served: 0, failed: 0, told: false };

const BATCH = 100;
const MAX_REST_MS = 3_600_000;
/** What fails because the other side is away is soon tried again. */
export const MAX_REST_AWAY_MS = 15_000;
/** An answer that did not come in time may be an outage that others were spared. */
const ALARM_AFTER_FAILURES = { row: 3, away: 10 };

/**
 * Serves the rows of a step in turns. A sweep begins where the one before ended and goes on past what fails. A row that
 * failed rests for ever longer, so that no number of such rows hides another; what hung before is tried last, and costs a
 * page one deadline. The third failure in a row, or the tenth time-out, raises `relay_row_failed`. The sweep resolves with
 * true when there are more rows and this one had work; it throws when a page cannot be read.
 */
export function createTurn<Row>(step: Step<Row>, options: TurnOptions): (stop: AbortSignal) => Promise<boolean> {
  const rests = new Map<string, Rest>();
  let met = new Set<string>();
  let after: readonly string[] | null = null;
  const restOf = (row: Row): Rest => rests.get(step.idOf(row)) ?? NO_REST;
  const leave = (id: string, alone: Rest) => {
    rests.set(id, alone);
    met.add(id);
  };

  function served(row: Row, isDone: boolean): void {
    const id = step.idOf(row);
    if (!isDone || step.againMs === undefined) return void rests.delete(id);
    const { served: times } = restOf(row);
    const until = performance.now() + doubled(step.againMs, times, MAX_REST_MS);
    leave(id, { ...NO_REST, until, served: times + 1 });
  }

  function failed(row: Row, error: unknown, isOutage: boolean): void {
    const id = step.idOf(row);
    const before = restOf(row);
    const fault = isAway(error) ? 'away' : 'row';
    const restMs = doubled(options.everyMs, before.failed, fault === 'away' ? MAX_REST_AWAY_MS : MAX_REST_MS);
    const until = performance.now() + restMs;
    const times = before.failed + 1;
    const isNews = !isOutage && !before.told && times >= ALARM_AFTER_FAILURES[fault];
    leave(id, { ...before, until, failed: times, told: before.told || isNews });
    if (isNews) raiseAlarm(options.log, 'relay_row_failed', { step: step.name, row: id, error: (error as Error).name });
  }

  /** How many had something to be done. */
  async function serve(rows: readonly Row[], stop: AbortSignal): Promise<number> {
    for (const row of rows) if (rests.has(step.idOf(row))) met.add(step.idOf(row));
    const due = rows.filter((row) => restOf(row).until <= performance.now());
    // Those that failed before come last, the longest due first, and only as many may hang as are served at a time.
    const hasFailed = (row: Row) => restOf(row).failed > 0;
    const again = due.filter(hasFailed).toSorted((a, b) => restOf(a).until - restOf(b).until);
    const ordered = [...due.filter((row) => !hasFailed(row)), ...again];
    let hung = 0;
    const results = await inParallel(
      ordered,
      options.concurrency,
      (row) =>
        step.work(row).catch((error: unknown) => {
          if (isAway(error)) hung += 1;
          throw error;
        }),
      (row) => stop.aborted || (hung >= options.concurrency && hasFailed(row)),
    );
    const errors = results.flatMap(({ result }) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    const isOutage = errors.length > 0 && errors.length === results.length && errors.every(isAway);
    if (isOutage) options.health(errors[0]);
    else if (results.length > 0 || rows.length === 0) options.health(null);
    let done = 0;
    for (const { item, result } of results) {
      if (result.status === 'rejected') failed(item, result.reason, isOutage);
      else {
        served(item, result.value !== false);
        if (result.value !== false) done += 1;
      }
    }
    return done;
  }

  return async (stop) => {
    let done = 0;
    for (let page = 0; page < options.pages && !stop.aborted; page += 1) {
      const { rows, end } = await step.page(after, BATCH);
      done += await serve(rows, stop);
      after = end;
      if (end !== null) continue;
      // A whole turn: what was not met is no row of this step any more.
      for (const id of rests.keys()) if (!met.has(id)) rests.delete(id);
      met = new Set();
      return false;
    }
    return done > 0;
  };
}

const doubled = (firstMs: number, times: number, maxMs: number): number => Math.min(maxMs, firstMs * 2 ** times);

/** gRPC: cancelled by the deadline, deadline exceeded, resource exhausted, aborted, unavailable. */
const AWAY = [1, 4, 8, 10, 14];

function isAway(error: unknown): boolean {
  if (isDatabaseAway(error)) return true;
  const { cause } = error as { cause?: unknown };
  return [error, cause].some((one) => isGrpcServiceError(one) && AWAY.includes(one.code));
}

/** A few at a time, each as soon as there is room for it: a slow one holds up no other. What `isLeft` is not begun. */
async function inParallel<T, R>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<R>,
  isLeft: (item: T) => boolean,
): Promise<{ readonly item: T; readonly result: PromiseSettledResult<R> }[]> {
  const results: { readonly item: T; readonly result: PromiseSettledResult<R> }[] = [];
  const queue = items.values();
  async function drain(): Promise<void> {
    for (const item of queue) {
      if (isLeft(item)) continue;
      const [result] = await Promise.allSettled([(async () => work(item))()]);
      results.push({ item, result });
    }
  }
  await Promise.all(Array.from({ length: concurrency }, drain));
  return results;
}
