import pg from 'pg';
import { isStale, noteSession, unlessStale } from './sessions.ts';

/** The database roles of 003-roles.sql; each process works as one of them. */
export type Role = 'app_api' | 'app_worker' | 'app_decisions' | 'app_notifier' | 'auditor' | 'archiver';

/** Takes statements: a pool, or a connection with its transaction. */
export type Db = pg.Pool | pg.ClientBase;

export interface ConnectionOptions {
  readonly url: string;
  /** Every connection works as this role; the URL's login is it, or a member of it. Absent: as the login itself. */
  readonly role?: Role;
  readonly applicationName: string;
}

export interface PoolOptions extends ConnectionOptions {
  readonly max?: number;
  /** Default: two seconds. */
  readonly lockTimeoutMs?: number;
  /** Called with the errors of idle connections, which the pool replaces by itself. */
  readonly onIdleError?: (error: Error) => void;
}

/** Timeouts grow outwards: lock, statement, query, and only then the activity. */
const LOCK_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 8_000;
const CONNECT_TIMEOUT_MS = 3_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000;
/** A new connection compiles each function anew: its first credit takes five times as long as its second. */
const IDLE_CONNECTION_MS = 300_000;

const SESSION = {
  TimeZone: 'UTC',
  DateStyle: 'ISO',
  search_path: 'engine,pg_temp',
  default_transaction_isolation: 'read committed',
  // A committed answer is on disk, whatever the default of the server or a login is.
  synchronous_commit: 'on',
  // The parameters of a failing statement stay out of the server's log.
  log_parameter_max_length_on_error: '0',
  // So do plans with their parameters, whatever the default of a login is.
  debug_print_plan: 'off',
  debug_print_parse: 'off',
  debug_print_rewritten: 'off',
} as const;
/** Not checked: a session without it is right, and slower. Compiling a statement of ours takes longer than running it. */
const ADVICE = { jit: 'off' } as const;
const TIMEOUTS = {
  lock_timeout: LOCK_TIMEOUT_MS,
  statement_timeout: STATEMENT_TIMEOUT_MS,
  idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
} as const;

/**
 * The session is not the requested one; nothing is done in it. A retry helps only after an operator has mended the
 * setup.
 */
export class WrongSession extends Error {}

/** A transaction was rolled back although its work resolved. A defect of that work. */
export class NotCommitted extends Error {}

/** SQLSTATE: the server takes no changes. */
const READ_ONLY = '25006';

/** A pool whose numerics and bigints stay text, so that no amount passes through a float. */
export function createPool(options: PoolOptions): pg.Pool {
  const timeouts = { ...TIMEOUTS, lock_timeout: options.lockTimeoutMs ?? LOCK_TIMEOUT_MS };
  const pool = new pg.Pool({
    ...clientConfig(options),
    ...timeouts,
    query_timeout: QUERY_TIMEOUT_MS,
    max: options.max ?? 10,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it, whatever its type says
    onConnect: async (client) => {
      noteSession(pool, client, await checkSession(client, options, { timeouts, toWrite: options.role !== 'auditor' }));
    },
  });
  pool.on('error', (error) => options.onIdleError?.(error));
  pool.on('connect', surviveCut);
  pool.query = ((asked: string | pg.QueryConfig, values?: unknown[]) =>
    onOneConnection(pool, isSingle(asked, values), (client) => client.query(asked, values))) as typeof pool.query;
  return pool;
}

/** True for exactly one statement. A text without values may hold several, and leave its transaction open. */
const isSingle = (asked: string | pg.QueryConfig, values: readonly unknown[] = []): boolean =>
  typeof asked === 'string' ? values.length > 0 : asked.name !== undefined || (asked.values ?? []).length > 0;

/**
 * Runs a query. The driver's own `pool.query` throws the connection away after every error, even after a lock timeout or
 * a refusal by one of our functions. This keeps one that the next query can use. An error that is not PostgreSQL's does
 * not show in which state the connection is.
 */
async function onOneConnection<T>(
  pool: pg.Pool,
  isOneStatement: boolean,
  run: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    return await run(client);
  } catch (error) {
    const isUseless = !(error instanceof pg.DatabaseError) || isConnectionUseless(error) || isStale(error);
    if (isUseless || !isOneStatement) broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Opens one connection without timeouts, for work that takes long or only waits for the server. The caller ends it.
 * Throws {@link WrongSession}.
 */
export async function openConnection(options: ConnectionOptions): Promise<pg.Client> {
  const client = createClient(clientConfig(options));
  try {
    await client.connect();
    await checkSession(client, options, { timeouts: {}, toWrite: false });
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/**
 * Returns a client that is not connected yet, and that ends no process when its connection is cut. A cut while it is
 * idle reaches only its listeners, and the next query fails by itself.
 */
export function createClient(config: pg.ClientConfig): pg.Client {
  const client = new pg.Client(config);
  surviveCut(client);
  return client;
}

/** Runs `work` on a connection of {@link createClient}, and ends it. */
export async function withClient<T>(config: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = createClient(config);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * The pool removes its own listener when it hands a client out, and the caller adds one a moment later. The end of a
 * connection that arrived together with the answer before would have no listener, and would end the process.
 */
const surviveCut = (client: pg.ClientBase): void => void client.on('error', () => undefined);

/** The `options` of the URL come first, so that they replace none of ours. */
function clientConfig({ url, role, applicationName }: ConnectionOptions): pg.ClientConfig {
  const [address, query = ''] = url.split('?', 2);
  const asked = new URLSearchParams(query);
  const given = asked.get('options');
  asked.delete('options');
  const settings = { ...SESSION, ...ADVICE, ...(role === undefined ? {} : { role }) };
  const ours = Object.entries(settings).map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`);
  return {
    connectionString: asked.size === 0 ? address! : `${address}?${asked.toString()}`,
    options: [...(given === null ? [] : [given]), ...ours].join(' '),
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  };
}

/**
 * Checks a new session and returns the pid of its server process.
 * - Throws {@link WrongSession} when startup parameters were lost, as behind a pooler that ignores them.
 * - Throws an error with SQLSTATE 25006 when it is `toWrite` and the server takes no changes.
 */
async function checkSession(
  client: pg.ClientBase,
  { role }: ConnectionOptions,
  { timeouts, toWrite }: { readonly timeouts: Readonly<Record<string, number>>; readonly toWrite: boolean },
): Promise<number> {
  const wanted: Record<string, string> = {
    ...SESSION,
    ...Object.fromEntries(
      Object.entries(timeouts).map(([name, ms]) => [name, ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`]),
    ),
    // `DateStyle` also shows the order of day and month.
    DateStyle: 'ISO, MDY',
    ...(role === undefined ? {} : { current_user: role }),
    session_replication_role: 'origin',
  };
  const { rows } = await client.query<{ found: Record<string, string>; read_only: string; pid: number }>(
    `select pg_backend_pid() as pid, (select jsonb_object_agg(name, case name when 'current_user' then current_user else current_setting(name) end)
               from unnest($1::text[]) name) as found, current_setting('transaction_read_only') as read_only`,
    [Object.keys(wanted)],
  );
  const { found, read_only, pid } = rows[0]!;
  const isSame = (name: string) => normal(found[name]!) === normal(wanted[name]!);
  const wrong = Object.keys(wanted).filter((name) => !isSame(name));
  if (wrong.length > 0) {
    const said = wrong.map((name) => `${name} is ${found[name]} instead of ${wanted[name]}`).join(', ');
    throw new WrongSession(
      `the database session is not as asked for: ${said}. A pooler may ignore startup parameters (docs/guides/deployment.md, "A pooler")`,
    );
  }
  if (toWrite && read_only === 'on') throw readOnly();
  return pid;
}

/** Ignores the order of day and month, and blanks. */
const normal = (value: string): string => value.replace(/^ISO\b.*/i, 'ISO').replaceAll(/,\s+/g, ',');

/**
 * Called at a start. Throws {@link WrongSession} if these pools would work in one. A database that is away is no
 * reason.
 */
export async function refuseWrongSession(...pools: readonly pg.Pool[]): Promise<void> {
  const outcomes = await Promise.allSettled(pools.map((pool) => pool.query('select')));
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected' && outcome.reason instanceof WrongSession) throw outcome.reason;
  }
}

/**
 * Runs `work` in one READ COMMITTED transaction; rolls back when it throws. When a change of the schema has made a plan
 * useless, rolls back and runs `work` again.
 */
export const inTransaction = <T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> =>
  unlessStale(pool, () => runOnce(pool, work));

async function runOnce<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A cut between two queries reaches only this listener; the next query fails by itself.
  const cut = (error: Error) => (broken ??= error);
  client.on('error', cut);
  try {
    await client.query('begin');
    const result = await work(client);
    const { command } = await client.query('commit');
    // PostgreSQL ends a failed transaction so too, without an error.
    if (command !== 'COMMIT') throw new NotCommitted('a statement failed, and its error was not passed on');
    return result;
  } catch (error) {
    if (isConnectionUseless(error) || isStale(error)) broken ??= error as Error;
    // A connection that cannot even roll back is thrown away.
    if (broken === undefined) await client.query('rollback').catch((failed: Error) => (broken = failed));
    // The driver's error only reports that the connection is gone; the listener received the reason.
    else if (error instanceof Error && error !== broken) error.cause ??= broken;
    throw error;
  } finally {
    client.removeListener('error', cut);
    client.release(broken);
  }
}

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
};

/**
 * True when the next query should go to another connection:
 * - This one was lost, does not answer, or leads to a server that takes no changes or has no room for them. The address
 *   may lead to another server by now.
 * - Its session contradicts the schema (classes 0A, 42 and XX). It may have compiled a function for objects that a
 *   migration has replaced, and only another session compiles it anew.
 */
const isConnectionUseless = (error: unknown): boolean =>
  /^(08|0A|25006|25P03|25P04|42|53|57P|58|XX)/.test(codeOf(error)) ||
  /Query read timeout/.test((error as Error | null)?.message ?? '');

/** True when the disk, memory or connections of the server are exhausted, and the request is not at fault. */
export const isServerFull = (error: unknown): boolean => /^(53|58)/.test(codeOf(error));

/**
 * True when the database is not reachable, takes no changes, or asks for a retry: nothing is known to be wrong with the
 * request.
 */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof WrongSession) return true;
  // Node's own errors of a connection that cannot be made, be it to an address or to the socket's file.
  const syscall = (error as { syscall?: unknown } | null)?.syscall;
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true;
  if (
    /^(08|25006|25P03|28|3D|40001|40P01|53|55P03|57|58|ECONN|EPIPE|ENOTFOUND|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|EAI_|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(
      codeOf(error),
    )
  )
    return true;
  const message = (error as { message?: unknown } | null)?.message;
  return (
    typeof message === 'string' &&
    /timeout|Connection terminated|is not queryable|Cannot use a pool|SSL connection/i.test(message)
  );
}

/** Checks whether the server takes changes now, without making one. Throws when it does not, or is away. */
export async function assertWritable(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ read_only: string }>(
    `select current_setting('transaction_read_only') as read_only`,
  );
  if (rows[0]!.read_only === 'on') throw readOnly();
}

const readOnly = (): Error => Object.assign(new Error('the database is read-only or recovering'), { code: READ_ONLY });
