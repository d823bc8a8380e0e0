import pg from 'pg';
import type { Logger } from 'pino';

/** A pool, or the one connection of a transaction. */
export type Queryable = pg.Pool | pg.PoolClient;

/** A pool that outlives a restart of Postgres: a connection that breaks while idle is dropped, not thrown. */
export function openPool(connectionString: string, max: number, logger: Logger): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, application_name: 'sandbox' });
  pool.on('error', (error) => logger.warn({ reason: error.message }, 'idle database connection lost'));
  // The pool takes that listener away when it hands a client out, and whoever gets it goes on a moment later: the end of a
  // connection that came in one piece with the answer before would be heard by nobody, and end the process.
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}

/**
 * SQLSTATE of a connection that is lost, or of a server that takes no changes or has no room for them: the address may
 * lead to another one by now, so the next query goes to a new connection.
 */
const leadsNowhere = (error: unknown): boolean =>
  /^(08|25006|25P03|53|57P|58)/.test((error as { code?: string } | null)?.code ?? '');

/** Runs `work` in one transaction: committed if it returns, rolled back if it throws. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that is cut between two queries tells nobody but this; the next query fails by itself.
  const cut = (error: Error) => {
    broken ??= error;
  };
  client.on('error', cut);
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (leadsNowhere(error)) broken ??= error as Error;
    if (broken === undefined) {
      await client.query('ROLLBACK').catch((cause: Error) => {
        broken = cause;
      });
    } else if (error instanceof Error && error !== broken) {
      // The driver only says that the connection is gone; why, it told the listener.
      error.cause ??= broken;
    }
    throw error;
  } finally {
    client.removeListener('error', cut);
    client.release(broken);
  }
}
