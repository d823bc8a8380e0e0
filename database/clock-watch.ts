import type pg from 'pg';
import { type Log, raiseAlarm } from '../telemetry/log.ts';
import { readClocks } from './queries/provider-clock.ts';

/** A process whose clock is this far from the database's says so; NTP keeps machines within a fraction of it. */
const MAX_OFF_MS = 5_000;
const EVERY_MS = 60_000;

/**
 * Compares the clock of this process with the database's at once and every minute; `clock_off` says how far ahead it is.
 * Decides nothing, and is silent while the database is away. Returns what stops it.
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

/** How far our clock is surely ahead of the database's, negative when behind: what the asking took is not counted. */
async function aheadOfDatabaseMs(pool: pg.Pool): Promise<number> {
  const askedMs = Date.now();
  const { databaseMs } = await readClocks(pool);
  const answeredMs = Date.now();
  if (databaseMs < askedMs) return Math.round(askedMs - databaseMs);
  return Math.min(0, Math.round(answeredMs - databaseMs));
}
