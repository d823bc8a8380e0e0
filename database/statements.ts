import { createHash } from 'node:crypto';
import pg from 'pg';
import { type Db, inTransaction } from './pool.ts';

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

/** Connections that lead straight to a session of the server, and pools of such connections. */
const direct = new WeakSet<Db>();
const pooled = new WeakSet<Db>();

/**
 * Notes whether a new connection of a pool leads straight to the server; `pid` is the server process that answers. A
 * pooler reports a made-up pid at the login. Behind a pooler the next statement may go to another session, which does
 * not know the name. So no names are used there.
 */
export function noteSession(pool: pg.Pool, client: pg.ClientBase, pid: number): void {
  if ((client as { processID?: unknown }).processID === pid) [client, pool].forEach((db) => direct.add(db));
  else pooled.add(pool);
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
    if (!direct.has(on) || pooled.has(on))
      return values.length === 0 ? on.query<Row>(text) : on.query<Row>(text, [...values]);
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

/**
 * Retries work that failed on a stale plan. A stale plan is dropped with its connection, so a pool has as many tries as
 * it may have connections, and one more.
 */
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
 * True when nothing was done and a retry helps:
 * - a table has changed under a cached plan;
 * - the session does not know the name, or knows it from another client, because a pooler is in between by now;
 * - a function was compiled for the rows of before, and only another session compiles it anew.
 */
export function isStale(error: unknown): boolean {
  const { code, routine } = error as { code?: unknown; routine?: unknown };
  if (code === '0A000') return routine === 'RevalidateCachedQuery';
  return code === '26000' || code === '42P05' || code === '42804';
}
