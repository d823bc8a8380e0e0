import pg from 'pg';
import type { Logger } from 'pino';

/** A pool, or the one connection of a transaction. */
export type Queryable = pg.Pool | pg.PoolClient;

/** Opens a pool that survives a restart of PostgreSQL: it drops a broken idle connection instead of throwing. */
export function openPool(connectionString: string, max: number, logger: Logger): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, application_name: 'sandbox' });
  pool.on('error', (error) => logger.warn({ reason: error.message }, 'idle database connection lost'));
  // The pool removes its listener when it hands out a client, and the caller continues a moment later. A connection
  // that breaks in between would emit an error without a listener, and the process would end.
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}

/**
 * SQLSTATE of a lost connection, or of a server that takes no changes or has no room for them. The address may lead to
 * another server by now, so the next query uses a new connection.
 */
const leadsNowhere = (error: unknown): boolean =>
  /^(08|25006|25P03|53|57P|58)/.test((error as { code?: string } | null)?.code ?? '');

/** Runs `work` in one transaction: commits if it resolves, rolls back if it rejects. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // Only this listener receives a cut between two queries; the next query then fails by itself.
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
      // The driver's error says only that the connection is gone; the listener has the cause.
      error.cause ??= broken;
    }
    throw error;
  } finally {
    client.removeListener('error', cut);
    client.release(broken);
  }
}
