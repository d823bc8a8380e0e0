import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type Log, raiseAlarm } from '../config/log.ts';
import { SHRED_BATCH, shredPayerNames } from '../database/payer-names.ts';

export interface Shredding {
  /** Resolves when no statement is under way. */
  close(): Promise<void>;
}

const EVERY_MS = 5 * 60_000;
/** Names that should be gone are still there after about an hour: people are told, once until it works again. */
const ALARM_AFTER_FAILURES = 12;

/** Erases the names of payers that are older than `retentionMs`, now and every few minutes, in bounded batches. */
export function startShredding(
  { pool, log }: { readonly pool: pg.Pool; readonly log: Log },
  retentionMs: number,
  everyMs = EVERY_MS,
): Shredding {
  const stop = new AbortController();

  async function sweep(): Promise<number> {
    let total = 0;
    while (!stop.signal.aborted) {
      const shredded = await shredPayerNames(pool, retentionMs);
      total += shredded;
      if (shredded < SHRED_BATCH) break;
    }
    return total;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      try {
        const shredded = await sweep();
        failures = 0;
        if (shredded > 0) log.info({ shredded }, "payers' names erased");
      } catch (error) {
        failures += 1;
        if (failures === ALARM_AFTER_FAILURES) raiseAlarm(log, 'names_not_erased', { error: (error as Error).name });
      }
      await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  const running = run();
  return {
    async close() {
      stop.abort();
      await running;
    },
  };
}
