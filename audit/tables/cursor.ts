import type pg from 'pg';

const FETCHED = 1_000;

/**
 * The rows of a query, a thousand at a time, by a cursor in the transaction of an audit's session. No other cursor of
 * the same name may be open.
 */
export async function* rowsOf<Row>(
  db: pg.ClientBase,
  name: string,
  sql: string,
  values: readonly unknown[],
): AsyncGenerator<readonly Row[]> {
  // The whole result is read, so a plan that is fast for the first rows is wrong.
  await db.query('set local cursor_tuple_fraction = 1');
  // JIT compilation takes longer than reading thousands of rows.
  await db.query('set local jit = off');
  await db.query(`declare ${name} no scroll cursor for ${sql}`, [...values]);
  try {
    for (;;) {
      const { rows } = await db.query(`fetch ${FETCHED} from ${name}`);
      if (rows.length > 0) yield rows as Row[];
      if (rows.length < FETCHED) return;
    }
  } finally {
    await db.query(`close ${name}`);
  }
}
