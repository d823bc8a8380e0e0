import { createHash } from 'node:crypto';
import pg from 'pg';
import { type Db, inTransaction } from './pool.ts';
import { isStale, takesNames } from './sessions.ts';

/** A statement whose text never varies. PostgreSQL parses and plans it once for each connection, under its name. */
export interface Statement {
  readonly text: string;
  /** Another name after a change of the schema that made the plans under the last one useless. */
  readonly name: () => string;
  readonly renew: (name: string) => void;
}

/** To be called once, where the text is written: each call costs every connection a plan. */
export function statement(text: string): Statement {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  let generation = 0;
  const name = () => `${hash}_${generation}`;
  return {
    text,
    name,
    // Connections that find it at the same time renew it once.
    renew: (stale) => void (stale === name() && (generation += 1)),
  };
}

/**
 * Runs a statement under its name where that is safe, otherwise as plain text. When a change of the schema has made its
 * plan useless, a pool retries it. A transaction is lost then, and `inTransaction` begins it again.
 */
export async function execute<Row extends pg.QueryResultRow>(
  db: Db,
  { text, name, renew }: Statement,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const once = async (on: Db) => {
    if (!takesNames(on)) return values.length === 0 ? on.query<Row>(text) : on.query<Row>(text, [...values]);
    const used = name();
    try {
      return await on.query<Row>({ name: used, text, values: [...values] });
    } catch (error) {
      if (isStale(error)) renew(used);
      throw error;
    }
  };
  try {
    return await once(db);
  } catch (error) {
    if (!(db instanceof pg.Pool && isStale(error))) throw error;
    // In a transaction: a pooler closes the session of a client that leaves in one, and keeps every other.
    return inTransaction(db, once);
  }
}
