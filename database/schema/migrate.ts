import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { type IndexStep, locksOf, readSteps } from './migration-steps.ts';

/** Any fixed number; two migrators of one database take turns on it. */
const MIGRATION_LOCK = 7_268_104;
const CONTRACT = /^\d{3}-contract\b/;
/** Whether a file removes what only a version before needs. */
export const isContract = (name: string): boolean => CONTRACT.test(name);
const NAME = /^(\d{3})-[a-z0-9-]+\.sql$/;

export const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));

/**
 * A migration was not applied. Where the message names the session in the way, a later retry helps; otherwise an
 * operator has to look.
 */
export class MigrationError extends Error {}

export interface MigrateOptions {
  /**
   * How long one try waits for its first table, and then for all others, in ms. Later transactions wait behind it, so a
   * running engine is held up for this long.
   * - Shorter than the 2 s that the engine itself waits for a lock.
   * - Shorter than the second after which PostgreSQL looks for deadlocks, so that it ends none of the engine's
   *   transactions.
   */
  readonly lockTimeoutMs?: number;
  /** How long one file is tried, or an index waits for older transactions, which blocks nobody. Milliseconds. */
  readonly patienceMs?: number;
  /** A second connection as the same user, to see which sessions are in the way. */
  readonly watcher?: pg.ClientBase;
  /**
   * The contract files, named `NNN-contract….sql`, remove what a running version before may still need. Every other
   * file is always applied, and a new database gets all files. Default: `now`.
   * - `now`: applies them.
   * - `later`: leaves them for another run.
   * - `through`: leaves those after this name.
   */
  readonly contract?: 'now' | 'later' | { readonly through: string };
  /** Called with a line for the operator: what the run waits for, rebuilds or leaves. */
  readonly tell?: (line: string) => void;
}

const LOCK_TIMEOUT_MS = 800;
const PATIENCE_MS = 10 * 60_000;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 8_000;
const LOOK_MS = 200;
/** SQLSTATE of a lock timeout and of a deadlock: nothing happened, and a retry helps. */
const IN_THE_WAY = ['55P03', '40P01'];

export interface Migration {
  readonly name: string;
  readonly sha256: string;
  readonly indexes: readonly IndexStep[];
  readonly sql: string;
}

/**
 * Brings the database to the newest schema while an engine works on it, and returns the names of the files applied now.
 * A file is one transaction, retried while a lock is not available. Its indexes are built before it, beside the traffic
 * (docs/guides/deployment.md#migrations). The next run continues one that was killed. Throws {@link MigrationError}:
 * - a changed file, or a gap in the numbers;
 * - an applied name that it does not know, or a file that was passed over and is no contract;
 * - roles that another user has made;
 * - a file that could not be applied within the patience.
 */
export async function migrate(
  client: pg.ClientBase,
  folder: string = MIGRATIONS,
  options: MigrateOptions = {},
): Promise<string[]> {
  const migrations = await readMigrations(folder);
  await takeTurn(client, options);
  try {
    await client.query('create schema if not exists engine');
    await client.query(
      'create table if not exists engine.schema_migration (name text primary key, sha256 text not null, applied_at timestamptz not null default clock_timestamp())',
    );
    const applied = await appliedNames(client, migrations);
    const missing = migrations.filter((migration) => !applied.has(migration.name));
    const { contract = 'now' } = options;
    const through = contract === 'later' ? '' : contract === 'now' ? null : contract.through;
    const isLeft = (name: string) => applied.size > 0 && through !== null && isContract(name) && name > through;
    const left = missing.filter(({ name }) => isLeft(name)).map(({ name }) => name);
    const now = missing.filter(({ name }) => !left.includes(name));
    if (now.length > 0) await refuseForeignRoles(client);
    for (const migration of now) await apply(client, migration, options);
    await letRead(client);
    if (left.length > 0) {
      options.tell?.(
        `left for "npm run migrate -- --contract", when no process of a version before works any more: ${left.join(', ')}`,
      );
    }
    return now.map((migration) => migration.name);
  } finally {
    // If the connection is gone, so is the lock; the first failure reports why.
    await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => undefined);
  }
}

/**
 * Reads the files, in their order. Throws {@link MigrationError} for a gap, and for a statement before the mark that is
 * no index.
 */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
  return Promise.all(
    names.map(async (name, index) => {
      if (Number(NAME.exec(name)?.[1]) !== index + 1) {
        throw new MigrationError(`${name}: expected a file numbered ${index + 1}, as in 001-name.sql, without gaps`);
      }
      const text = await readFile(`${folder}/${name}`, 'utf8');
      const steps = readSteps(text);
      if (steps === null) {
        throw new MigrationError(
          `${name}: only "create index concurrently if not exists …" and "drop index concurrently if exists …" may stand before the mark`,
        );
      }
      return { name, sha256: createHash('sha256').update(text).digest('hex'), ...steps };
    }),
  );
}

/** Polls for the lock: a session that waits inside a statement would hold up the building of an index. */
async function takeTurn(client: pg.ClientBase, options: MigrateOptions): Promise<void> {
  await patiently('another migration', options, null, async () => {
    const { rows } = await client.query<{ mine: boolean; pid: number | null }>(
      `select pg_try_advisory_lock($1) as mine,
              (select pid from pg_locks where locktype = 'advisory' and objid = $1 and granted and database = (
                 select oid from pg_database where datname = current_database()) limit 1) as pid`,
      [MIGRATION_LOCK],
    );
    if (rows[0]!.mine) return;
    throw Object.assign(new Error(`is running, pid ${rows[0]!.pid}`), { code: IN_THE_WAY[0] });
  });
}

async function appliedNames(client: pg.ClientBase, migrations: readonly Migration[]): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string; sha256: string }>(
    'select name, sha256 from engine.schema_migration order by name',
  );
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const row of rows) {
    const migration = known.get(row.name);
    if (migration === undefined) {
      throw new MigrationError(
        `the database has ${row.name}, these files do not: is this an older version of the code?`,
      );
    }
    if (migration.sha256 !== row.sha256) {
      throw new MigrationError(`${row.name} was changed after it was applied: write a new migration instead`);
    }
  }
  const applied = new Set(rows.map((row) => row.name));
  const newest = rows.at(-1)?.name ?? '';
  // Only a contract is left for later.
  const passed = migrations.find(({ name }) => name < newest && !applied.has(name) && !isContract(name));
  if (passed !== undefined) throw new MigrationError(`the database has ${newest} and not ${passed.name}`);
  return applied;
}

/** The roles that the files make and grant. */
export const ROLES = [
  'ledger_owner',
  'ledger_poster',
  'ledger_decider',
  'ledger_reader',
  'engine_owner',
  'app_api',
  'app_worker',
  'app_decisions',
  'app_notifier',
  'auditor',
  'archiver',
];

/**
 * Throws {@link MigrationError} for roles that another user has made; roles belong to the whole server. PostgreSQL 16
 * and later let only a superuser, or a member with the admin option, grant them.
 */
async function refuseForeignRoles(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ me: string; roles: string | null }>(
    `select quote_ident(current_user) as me, string_agg(quote_ident(r.rolname), ', ' order by r.rolname) as roles
       from pg_roles r, pg_roles u
      where r.rolname = any($1) and u.rolname = current_user and not u.rolsuper
        and current_setting('server_version_num')::int >= 160000 and not pg_has_role(r.oid, 'member with admin option')`,
    [ROLES],
  );
  const { me, roles } = rows[0]!;
  if (roles === null) return;
  throw new MigrationError(
    `these roles of the server were made by somebody else: an administrator has to say once: grant ${roles} to ${me} with admin option`,
  );
}

/** Lets the roles that compare the catalogue read which migrations are applied. */
async function letRead(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ roles: string | null }>(
    `select string_agg(rolname, ', ') as roles from pg_roles
      where rolname in ('app_api', 'auditor') and not has_table_privilege(oid, 'engine.schema_migration', 'select')`,
  );
  const { roles } = rows[0]!;
  if (roles !== null) await client.query(`grant select on engine.schema_migration to ${roles}`);
}

async function apply(client: pg.ClientBase, migration: Migration, options: MigrateOptions): Promise<void> {
  const { lockTimeoutMs = LOCK_TIMEOUT_MS, patienceMs = PATIENCE_MS } = options;
  for (const index of migration.indexes) {
    await patiently(`${migration.name}, index ${index.name}`, options, client, () =>
      buildIndex(client, index, patienceMs, options.tell),
    );
  }
  await patiently(migration.name, options, client, async () => {
    try {
      await client.query('begin');
      await client.query(`set local lock_timeout = ${lockTimeoutMs}`);
      await lockTables(client, migration.sql, lockTimeoutMs);
      await client.query(migration.sql);
      await client.query('reset role');
      await client.query('insert into engine.schema_migration (name, sha256) values ($1, $2)', [
        migration.name,
        migration.sha256,
      ]);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      throw error;
    }
  });
}

/**
 * Locks all tables of a file at once, each at once as strongly as it is needed. A lock that is made stronger later
 * could deadlock: a transaction that has read the table and goes on to write it waits for the file, and the file for
 * it.
 */
async function lockTables(client: pg.ClientBase, sql: string, lockTimeoutMs: number): Promise<void> {
  let endMs: number | null = null;
  for (const { table, mode } of locksOf(sql)) {
    const { rowCount } = await client.query(
      `select from pg_class where oid = to_regclass($1) and relkind = 'r' and pg_has_role(current_user, relowner, 'usage')`,
      [table],
    );
    if (rowCount === 0) continue;
    if (endMs !== null) {
      const leftMs = Math.max(1, Math.ceil(endMs - performance.now()));
      await client.query(`set local lock_timeout = ${leftMs}`);
    }
    await client.query(`lock table ${table} in ${mode} mode`);
    endMs ??= performance.now() + lockTimeoutMs;
  }
}

/**
 * Builds or drops an index beside the traffic. One that a killed run has left half built, or that is another than the
 * file has, is dropped and built again.
 */
async function buildIndex(
  client: pg.ClientBase,
  index: IndexStep,
  patienceMs: number,
  tell: MigrateOptions['tell'],
): Promise<void> {
  // It waits for transactions that are older than itself, and nobody waits behind it.
  await client.query(`set lock_timeout = ${patienceMs}`);
  try {
    if (index.does === 'drop') return void (await client.query(index.sql));
    const { rows } = await client.query<{ valid: boolean }>(
      'select indisvalid as valid from pg_index where indexrelid = to_regclass($1)',
      [index.name],
    );
    const isMeant = rows[0]?.valid === true && (await isAsMeant(client, index));
    if (isMeant) return;
    if (rows[0] !== undefined) {
      const why = rows[0].valid ? 'is another than the file says' : 'was left half built';
      tell?.(`index ${index.name} ${why}; it is built again`);
      await client.query(`drop index concurrently if exists ${index.name}`);
    }
    await client.query(index.sql);
  } finally {
    await client.query('reset lock_timeout');
  }
}

/**
 * Compares the index with the same statement on an empty table of the same form, which is rolled back: PostgreSQL
 * spells both.
 */
async function isAsMeant(client: pg.ClientBase, index: IndexStep): Promise<boolean> {
  const [, unique = '', table, rest] = /^create (unique )?index .* on (\S+) (.*)$/.exec(index.sql)!;
  await client.query('begin');
  try {
    await client.query(`create temp table index_probe (like ${table})`);
    await client.query(`create ${unique}index index_probed on pg_temp.index_probe ${rest}`);
    const { rows } = await client.query<{ same: boolean }>(
      `select count(distinct regexp_replace(pg_get_indexdef(i), 'INDEX .* ON (ONLY )?\\S+ ', '')) = 1
              and (select indrelid from pg_index where indexrelid = to_regclass($1)) = $2::regclass as same
         from unnest(array[to_regclass($1), 'pg_temp.index_probed'::regclass]) i`,
      [index.name, table],
    );
    return rows[0]!.same;
  } finally {
    await client.query('rollback');
  }
}

/** Tries until it works or the patience is over; between the tries nobody is held up. */
async function patiently(
  what: string,
  { patienceMs = PATIENCE_MS, watcher, tell }: MigrateOptions,
  client: pg.ClientBase | null,
  work: () => Promise<void>,
): Promise<void> {
  const startedMs = performance.now();
  const seconds = () => Math.round((performance.now() - startedMs) / 1_000);
  for (let tries = 1, pauseMs = FIRST_PAUSE_MS; ; tries += 1, pauseMs = Math.min(MAX_PAUSE_MS, 2 * pauseMs)) {
    const watch = watcher === undefined || client === null ? null : await watchBlockers(client, watcher, what, tell);
    try {
      return await work();
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const isInTheWay = code !== undefined && IN_THE_WAY.includes(code);
      const told = `${what}: ${message}${watch === null ? '' : await watch.told()}`;
      if (!isInTheWay) throw new MigrationError(`${what}: ${message}`, { cause: error });
      if (performance.now() - startedMs + pauseMs > patienceMs) {
        throw new MigrationError(
          `${told}; tried ${tries} times within ${seconds()} s. Nothing of it is half done: run it again later`,
          { cause: error },
        );
      }
      tell?.(`${told}; trying again in ${pauseMs / 1_000} s`);
    } finally {
      await watch?.stop();
    }
    await sleep(pauseMs);
  }
}

/** Remembers the sessions that were in the way of this connection; reports them while it waits, every ten seconds. */
async function watchBlockers(
  client: pg.ClientBase,
  watcher: pg.ClientBase,
  what: string,
  tell: MigrateOptions['tell'],
) {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const stop = new AbortController();
  let last = '';
  let tellMs = performance.now() + 10_000;
  const look = async () => {
    const found = await watcher.query<{ who: string }>(
      `select string_agg(concat_ws(', ', 'pid ' || pid, nullif(application_name, ''), usename, state,
                                   'in a transaction since ' || to_char(xact_start at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), '; ') as who
         from pg_stat_activity where pid = any(pg_blocking_pids($1))`,
      [rows[0]!.pid],
    );
    last = found.rows[0]?.who ?? last;
    if (last === '' || performance.now() < tellMs) return;
    tell?.(`${what}: waits for ${last}`);
    tellMs = performance.now() + 10_000;
  };
  const watching = (async () => {
    while (!stop.signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal: stop.signal })
        .then(look)
        .catch(() => undefined);
    }
  })();
  return {
    told: async () => (last === '' ? '' : `; in the way: ${last}`),
    async stop() {
      stop.abort();
      await watching;
    },
  };
}
