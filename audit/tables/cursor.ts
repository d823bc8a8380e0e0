import type pg from 'pg';

const FETCHED = 1_000;

/**
 * The rows of a query, a thousand at a time: the server keeps the rest. In the transaction of an audit's session, in which
 * nothing else may be asked by this name meanwhile.
 */
export async function* rowsOf<Row>(
  db: pg.ClientBase,
  name: string,
  sql: string,
  values: readonly unknown[],
): AsyncGenerator<readonly Row[]> {
  // The whole result is read, so the plan that is best for its first rows is none.
  await db.query('set local cursor_tuple_fraction = 1');
  // Compiling the statement takes longer than reading a book of thousands.
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
