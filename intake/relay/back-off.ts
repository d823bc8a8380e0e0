import { isGrpcServiceError, NamespaceNotFoundError } from '@temporalio/client';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import { isDatabaseAway } from '../../database/pool.ts';
import type { RelayStep } from './sweeper.ts';

/** A row that is left alone for a while. */
interface Rest {
  readonly until: number;
  /** How many times it was served without a break, and how many times it failed. */
  readonly served: number;
  readonly failed: number;
  readonly failedAt: number;
  /** An alarm was raised about it. */
  readonly told: boolean;
}
const NO_REST: Rest = { until: -Infinity, served: 0, failed: 0, failedAt: -Infinity, told: false };

const MAX_REST_MS = 3_600_000;
/** The longest pause after a failure because the other side is away, in ms. */
export const MAX_REST_AWAY_MS = 15_000;
/** A timeout may be an outage that the other rows escaped. */
const ALARM_AFTER_FAILURES = { row: 3, away: 10 };

/** The back-off of a step's rows. */
export interface Rests<Row> {
  /** Returns the rows that are due: those that failed before come last, the longest due first. */
  queueOf(rows: readonly Row[]): Row[];
  hasFailed(row: Row): boolean;
  /** `isDone` false: there was nothing to do. */
  served(row: Row, isDone: boolean): void;
  /**
   * Returns whether the row failed or the other side is away. `relay_row_failed` is raised by the third failure in a
   * row, or by the tenth timeout between which others were served.
   */
  failed(row: Row, error: unknown): 'away' | 'row';
  /** Notes that these are still rows of the step. */
  meet(rows: readonly Row[]): void;
  /** After a whole round: forgets the rows that were not met, because the step no longer has them. */
  forgetUnmet(): void;
}

/** `everyMs`: the first pause of a row that failed, in ms; doubles. */
export function createRests<Row>(
  step: Pick<RelayStep<Row>, 'name' | 'idOf' | 'againMs'>,
  { everyMs, log }: { readonly everyMs: number; readonly log: Log },
): Rests<Row> {
  const rests = new Map<string, Rest>();
  let met = new Set<string>();
  let answeredAt = -Infinity;
  const restOf = (row: Row): Rest => rests.get(step.idOf(row)) ?? NO_REST;
  const hasFailed = (row: Row): boolean => restOf(row).failed > 0;
  const leave = (id: string, alone: Rest) => {
    rests.set(id, alone);
    met.add(id);
  };
  return {
    queueOf(rows) {
      const due = rows.filter((row) => restOf(row).until <= performance.now());
      const again = due.filter(hasFailed).toSorted((a, b) => restOf(a).until - restOf(b).until);
      return [...due.filter((row) => !hasFailed(row)), ...again];
    },
    hasFailed,
    served(row, isDone) {
      answeredAt = performance.now();
      const id = step.idOf(row);
      if (!isDone || step.againMs === undefined) return void rests.delete(id);
      const times = restOf(row).served;
      const until = answeredAt + doubled(step.againMs, times, MAX_REST_MS);
      leave(id, { ...NO_REST, until, served: times + 1 });
    },
    failed(row, error) {
      const id = step.idOf(row);
      const before = restOf(row);
      const fault = isAway(error) ? 'away' : 'row';
      const restMs = doubled(everyMs, before.failed, fault === 'away' ? MAX_REST_AWAY_MS : MAX_REST_MS);
      const failedAt = performance.now();
      const times = before.failed + 1;
      const isOutage = fault === 'away' && answeredAt < before.failedAt;
      const isNews = !isOutage && !before.told && times >= ALARM_AFTER_FAILURES[fault];
      leave(id, { ...before, until: failedAt + restMs, failed: times, failedAt, told: before.told || isNews });
      if (isNews) raiseAlarm(log, 'relay_row_failed', { step: step.name, row: id, error: (error as Error).name });
      if (fault === 'row') answeredAt = failedAt;
      return fault;
    },
    meet(rows) {
      for (const id of rows.map(step.idOf)) if (rests.has(id)) met.add(id);
    },
    forgetUnmet() {
      for (const id of rests.keys()) if (!met.has(id)) rests.delete(id);
      met = new Set();
    },
  };
}

const doubled = (firstMs: number, times: number, maxMs: number): number => Math.min(maxMs, firstMs * 2 ** times);

/**
 * gRPC: cancelled by the deadline, deadline exceeded, permission denied, resource exhausted, aborted, unavailable,
 * unauthenticated.
 */
const AWAY = [1, 4, 7, 8, 10, 14, 16];

function isAway(error: unknown): boolean {
  if (isDatabaseAway(error)) return true;
  const { cause } = error as { cause?: unknown };
  return [error, cause].some(
    // A missing namespace concerns every row, too.
    (one) => one instanceof NamespaceNotFoundError || (isGrpcServiceError(one) && AWAY.includes(one.code)),
  );
}
