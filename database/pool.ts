import pg from 'pg';

/** The database roles of 003-roles.sql; each process works as one of them. */
export type Role = 'app_api' | 'app_worker' | 'app_decisions' | 'auditor';

export interface PoolOptions {
  readonly url: string;
  /** Set when the URL belongs to more than this role: every connection then starts with SET ROLE. */
  readonly role?: Role;
  readonly max?: number;
  readonly applicationName: string;
  /** Told of errors on idle connections, which the pool replaces by itself. */
  readonly onIdleError?: (error: Error) => void;
}

/** Timeouts grow outwards (ledger.md, Transactions): lock, statement, query, and only then the activity. */
const LOCK_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 8_000;
const CONNECT_TIMEOUT_MS = 3_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000;

/** A pool whose numerics and bigints stay text, so that no amount passes through a float. */
export function createPool(options: PoolOptions): pg.Pool {
  const settings = ['-c TimeZone=UTC', '-c search_path=engine,pg_temp'];
  if (options.role !== undefined) settings.push(`-c role=${options.role}`);
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max ?? 10,
    application_name: options.applicationName,
    options: settings.join(' '),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
  });
  pool.on('error', (error) => options.onIdleError?.(error));
  return pool;
}

/** Runs `work` in one READ COMMITTED transaction; rolled back when it throws. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that is cut between two queries tells nobody but this; the next query fails by itself.
  const cut = (error: Error) => (broken = error);
  client.on('error', cut);
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    // A connection that cannot even roll back is thrown away.
    await client.query('rollback').catch((failed: Error) => (broken = failed));
    throw error;
  } finally {
    client.removeListener('error', cut);
    client.release(broken);
  }
}

/** True when the database could not be asked, or asked us to come again: nothing is known to be wrong with the request. */
export function isDatabaseAway(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && /^(08|53|55P03|57|40001|40P01|25P03|ECONN|EPIPE|ENOTFOUND|ETIMEDOUT|EAI_)/.test(code))
    return true;
  return (
    typeof message === 'string' &&
    /timeout|Connection terminated|Client has encountered|Cannot use a pool/i.test(message)
  );
}
