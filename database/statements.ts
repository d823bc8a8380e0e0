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
 * Runs it under its name where that is safe, else as any text. What a change of the schema has made useless is tried anew by
 * a pool; in a transaction, which is lost, `inTransaction` begins anew.
 */
export function execute<Row extends pg.QueryResultRow>(
  db: Db,
  { text, name, renew }: Statement,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const once = async () => {
    if (!direct.has(db) || pooled.has(db))
      return values.length === 0 ? db.query<Row>(text) : db.query<Row>(text, [...values]);
    const used = name();
    try {
      return await db.query<Row>({ name: used, text, values: [...values] });
    } catch (error) {
      if (isStale(error)) renew(used);
      throw error;
    }
  };
  return db instanceof pg.Pool ? unlessStale(db, once) : once();
}

/** What is stale is thrown away with its connection, so a pool has as many tries as it may have connections, and one more. */
export async function unlessStale<T>(pool: pg.Pool, work: () => Promise<T>): Promise<T> {
  for (let left = pool.options.max; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (left <= 0 || !isStale(error)) throw error;
    }
  }
}

/**
 * Nothing was done: a table has changed beneath a plan, the session does not know the name, or it knows it from somebody else,
 * because a pooler is between by now; or a function was compiled for the rows of before, which only another session mends.
 */
export function isStale(error: unknown): boolean {
  const { code, routine } = error as { code?: unknown; routine?: unknown };
  if (code === '0A000') return routine === 'RevalidateCachedQuery';
  return code === '26000' || code === '42P05' || code === '42804';
}
