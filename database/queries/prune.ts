import type { Db } from '../pool.ts';

/** Rows of one table in one statement: well below a second of work, whatever has piled up. */
export const PRUNE_BATCH = 2_000;

/** A batch that takes longer is halved, one that takes much less is doubled. */
const LONG_MS = 1_000;
const SHORT_MS = 250;
const LEAST = 50;
const TIMED_OUT = '57014';

/** How many rows were deleted, by table. */
export type PruneCounts = Readonly<Record<string, number>>;

/**
 * Deletes rows that are older than this and that nothing needs any more, at most {@link PRUNE_BATCH} of each table; the
 * database decides which may go, by its own clock (docs/internals/growth.md#what-prunes). Several may run at once.
 */
export async function prune(db: Db, olderThanMs: number, atMost = PRUNE_BATCH): Promise<PruneCounts> {
  const { rows } = await db.query<{ what: string; pruned: number }>(
    `select what, pruned from engine.prune($1 * interval '1 millisecond', $2)`,
    [olderThanMs, atMost],
  );
  return Object.fromEntries(rows.map(({ what, pruned }) => [what, pruned]));
}

/**
 * Calls {@link prune} in batches whose size follows from how long they take. On a disk that has to be read for each
 * row, the usual size takes longer than a statement may. `more`: there may be more to delete.
 */
export function pruneInBatches(
  db: Db,
  olderThanMs: number,
  most = PRUNE_BATCH,
): () => Promise<{ readonly done: PruneCounts; readonly more: boolean }> {
  let size = most;
  return async () => {
    for (;;) {
      const startedMs = performance.now();
      try {
        const done = await prune(db, olderThanMs, size);
        const more = Object.values(done).some((n) => n >= size);
        const tookMs = performance.now() - startedMs;
        if (tookMs > LONG_MS) size = Math.max(Math.min(most, LEAST), Math.floor(size / 2));
        else if (tookMs < SHORT_MS) size = Math.min(most, size * 2);
        return { done, more };
      } catch (error) {
        if ((error as { code?: unknown }).code !== TIMED_OUT || size <= LEAST) throw error;
        size = Math.max(LEAST, Math.floor(size / 4));
      }
    }
  };
}
