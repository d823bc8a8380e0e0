import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';
import type { Loop } from '../telemetry/background-loop.ts';
import { PRUNE_BATCH, pruneInBatches } from '../database/queries/prune.ts';
import { startSweeping } from './periodic-sweep.ts';

const EVERY_MS = 3_600_000;
/** A day. */
const ALARM_AFTER_FAILURES = 24;

/** Deletes unneeded rows older than `olderThanMs`, now and every hour (docs/internals/growth.md#what-prunes). */
export const startPruning = (
  { pool, log }: { readonly pool: pg.Pool; readonly log: Log },
  olderThanMs: number,
  everyMs = EVERY_MS,
  atMost = PRUNE_BATCH,
): Loop =>
  startSweeping(log, {
    batch: pruneInBatches(pool, olderThanMs, atMost),
    everyMs,
    message: 'rows pruned',
    alarm: 'rows_not_pruned',
    alarmAfter: ALARM_AFTER_FAILURES,
  });
