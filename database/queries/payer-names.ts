import type { Db } from '../pool.ts';

/** Rows of one statement: a few milliseconds of locks, whatever has piled up. */
export const SHRED_BATCH = 500;

/**
 * Erases the names of deposits created longer ago than this, at most {@link SHRED_BATCH} of them, and returns how many.
 * Several may run at once; a row in use is left to the next run.
 */
export async function shredPayerNames(db: Db, olderThanMs: number): Promise<number> {
  const { rows } = await db.query<{ shredded: number }>(
    `select engine.shred_payer_names($1 * interval '1 millisecond', $2) as shredded`,
    [olderThanMs, SHRED_BATCH],
  );
  return rows[0]!.shredded;
}
