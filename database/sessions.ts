import type pg from 'pg';
import type { Db } from './pool.ts';

/** The facts about sessions of the server that decide how a statement is sent, and when it is retried. */

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

/** True where a statement may be kept under a name. */
export const takesNames = (db: Db): boolean => direct.has(db) && !pooled.has(db);

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
