import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';
import type { Loop } from '../telemetry/background-loop.ts';
import { SHRED_BATCH, shredPayerNames } from '../database/queries/payer-names.ts';
import { startSweeping } from './periodic-sweep.ts';

const EVERY_MS = 5 * 60_000;
/** After about an hour in which expired names were not erased. */
const ALARM_AFTER_FAILURES = 12;

/** Erases payers' names that are older than `retentionMs`, now and every few minutes. */
export const startShredding = (
  { pool, log }: { readonly pool: pg.Pool; readonly log: Log },
  retentionMs: number,
  everyMs = EVERY_MS,
): Loop =>
  startSweeping(log, {
    async batch() {
      const shredded = await shredPayerNames(pool, retentionMs);
      return { done: { shredded }, more: shredded === SHRED_BATCH };
    },
    everyMs,
    message: "payers' names erased",
    alarm: 'names_not_erased',
    alarmAfter: ALARM_AFTER_FAILURES,
  });
