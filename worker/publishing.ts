import type pg from 'pg';
import { publishEvents, PUBLISHED_AT_MOST } from '../database/queries/events.ts';
import { findLateDeliveriesMs } from '../database/queries/notifications/deliveries.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';
import type { Log } from '../telemetry/log.ts';

const EVERY_MS = 250;
const AFTER_FAILURE_MS = 5_000;
/** A minute. */
const ALARM_AFTER_FAILURES = 12;

/** Longer transactions publish fewer events: each is owed to every endpoint that wants it, and a statement has 5 s. */
const SLOW_MS = 1_000;

/** Publishes events soon after their effect; one of all workers does at a time (docs/reference/events.md). */
export function startPublishing(
  { pool, log }: { readonly pool: pg.Pool; readonly log: Log },
  afterFailureMs = AFTER_FAILURE_MS,
): Loop {
  let atMost = PUBLISHED_AT_MOST;
  return startLoop({
    async work() {
      const begunAt = performance.now();
      const isFull = (await publishEvents(pool, atMost)) >= atMost;
      if (performance.now() - begunAt > SLOW_MS) atMost = Math.ceil(atMost / 2);
      else if (isFull) atMost = Math.min(PUBLISHED_AT_MOST, atMost * 2);
      return isFull ? 0 : EVERY_MS;
    },
    failed(error, failures) {
      atMost = Math.ceil(atMost / 4);
      if (failures === ALARM_AFTER_FAILURES) raiseAlarm(log, 'events_not_published', { error: (error as Error).name });
      return afterFailureMs;
    },
  });
}

const WATCH_EVERY_MS = 60_000;
const LATE_MS = 5 * 60_000;

/** Raises an alarm while messages wait that nothing holds up: no notifier runs, or too few. */
export const startWatchingDeliveries = ({ pool, log }: { readonly pool: pg.Pool; readonly log: Log }): Loop =>
  startLoop({
    work: async () => {
      const lateMs = await findLateDeliveriesMs(pool);
      if (lateMs > LATE_MS) raiseAlarm(log, 'deliveries_late', { lateMs });
      return WATCH_EVERY_MS;
    },
    failed: () => WATCH_EVERY_MS,
  });
