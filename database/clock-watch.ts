import type pg from 'pg';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { readClocks } from './queries/provider-clock.ts';

/**
 * A clock that is this far from the database's raises `clock_off`, in ms; NTP keeps machines within a fraction of it.
 */
const MAX_OFF_MS = 5_000;
const EVERY_MS = 60_000;

/**
 * Compares the clock of this process with the database's at once and every minute; the alarm `clock_off` reports how
 * far ahead it is. Decides nothing, and is silent while the database is away. Returns a function that stops it.
 */
export function watchClock(pool: pg.Pool, log: Log, everyMs = EVERY_MS): () => void {
  const look = () => {
    aheadOfDatabaseMs(pool).then(
      (aheadMs) => {
        if (Math.abs(aheadMs) > MAX_OFF_MS) raiseAlarm(log, 'clock_off', { aheadMs });
      },
      () => undefined,
    );
  };
  look();
  const timer = setInterval(look, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Returns how far our clock is certainly ahead of the database's, in ms; negative when behind. The time that the query
 * took is not counted.
 */
async function aheadOfDatabaseMs(pool: pg.Pool): Promise<number> {
  const askedMs = Date.now();
  const { databaseMs } = await readClocks(pool);
  const answeredMs = Date.now();
  if (databaseMs < askedMs) return Math.round(askedMs - databaseMs);
  return Math.min(0, Math.round(answeredMs - databaseMs));
}
