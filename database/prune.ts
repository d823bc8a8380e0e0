import type pg from 'pg';

/** Rows of one table in one statement: well below a second of work, whatever has piled up. */
export const PRUNE_BATCH = 2_000;

/** What was deleted, by table. */
export type Pruned = Readonly<Record<string, number>>;

/**
 * Deletes rows that are older than this and that nothing needs any more, at most {@link PRUNE_BATCH} of each table; the
 * database decides which may go, by its own clock (docs/growth.md#what-prunes). Several may run at once.
 */
export async function prune(db: pg.Pool | pg.ClientBase, olderThanMs: number, atMost = PRUNE_BATCH): Promise<Pruned> {
  const { rows } = await db.query<{ what: string; pruned: number }>(
    `select what, pruned from engine.prune($1 * interval '1 millisecond', $2)`,
    [olderThanMs, atMost],
  );
  return Object.fromEntries(rows.map(({ what, pruned }) => [what, pruned]));
}
