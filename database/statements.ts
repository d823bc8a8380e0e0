import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Db } from './pool.ts';

/** A statement whose text never varies. PostgreSQL parses and plans it once for each connection, under its name. */
export interface Statement {
  readonly text: string;
  /** Another one once a change of the schema has made the plans under the last one useless. */
  readonly name: () => string;
  readonly renew: (name: string) => void;
}

/** To be made once, where the text is written: each text that is made here costs every connection its plan. */
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

/** Connections that lead to a session of the server's own, and pools of such. */
const direct = new WeakSet<Db>();
const pooled = new WeakSet<Db>();

/**
 * Notes where a new connection of a pool leads; `pid` is the server process that answers it. A pooler makes up the one that
 * it names at the login. Behind it the next statement may go to another session, which has never heard of the name: so
 * there none is used, whatever the pooler could do.
 */
export function noteSession(pool: pg.Pool, client: pg.ClientBase, pid: number): void {
  if ((client as { processID?: unknown }).processID === pid) [client, pool].forEach((db) => direct.add(db));
  else pooled.add(pool);
}

/**
 * Runs it under its name where that is safe, else as any text. When a plan has become useless it is run once more by a pool;
 * in a transaction, which is lost, `inTransaction` begins anew.
 */
export async function execute<Row extends pg.QueryResultRow>(
  db: Db,
  { text, name, renew }: Statement,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const unnamed = () => (values.length === 0 ? db.query<Row>(text) : db.query<Row>(text, [...values]));
  if (!direct.has(db) || pooled.has(db)) return unnamed();
  const used = name();
  try {
    return await db.query<Row>({ name: used, text, values: [...values] });
  } catch (error) {
    if (!isStale(error)) throw error;
    renew(used);
    if (!(db instanceof pg.Pool)) throw error;
    return unnamed();
  }
}

/** The statement was refused before it did anything: a table has changed beneath its plan, or the session has lost the name. */
export function isStale(error: unknown): boolean {
  const { code, routine } = error as { code?: unknown; routine?: unknown };
  return (code === '0A000' && routine === 'RevalidateCachedQuery') || code === '26000';
}
