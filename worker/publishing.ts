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

/** Publishes events soon after their effect; one of all workers does at a time (docs/reference/events.md). */
export const startPublishing = (
  { pool, log }: { readonly pool: pg.Pool; readonly log: Log },
  afterFailureMs = AFTER_FAILURE_MS,
): Loop =>
  startLoop({
    work: async () => ((await publishEvents(pool)) < PUBLISHED_AT_MOST ? EVERY_MS : 0),
    failed(error, failures) {
      if (failures === ALARM_AFTER_FAILURES) raiseAlarm(log, 'events_not_published', { error: (error as Error).name });
      return afterFailureMs;
    },
  });

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
