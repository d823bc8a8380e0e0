import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { credit } from '../../../activities/crediting.ts';
import { compareCatalogue } from '../../../database/schema/catalogue.ts';
import { migrate, MigrationError, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { createClient, createPool } from '../../../database/pool.ts';
import { countUnvouched, registerSealKey } from '../../../database/queries/seal-macs.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { type PostgresServer, startPostgres } from '../../../local/servers/postgres.ts';
import { memoryLog } from '../../api/evidence.ts';
import { expectCleanBooks, itemFor, payment, received, reserved } from '../../ledger/payments.ts';
import { vouchForWaiting } from '../../../providers/sealed-rows.ts';
import { paid } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { isPackaged } from '../../support/postgres-package.ts';
import { sealTrust, testSealKey } from '../../support/seals.ts';
import { setPasswords } from '../../support/template.ts';
import { until } from '../../support/until.ts';
import { applied, connect, copyOfMigrations, emptyDatabase, FILES, number } from './migrations.ts';

const db = await createTestDatabase();

/** Every table, view, column, constraint, function, trigger and privilege of both schemas as text. */
async function schema(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(
    `select concat_ws(' ', table_schema, table_name, column_name, data_type, is_nullable, column_default) as line
       from information_schema.columns where table_schema in ('engine', 'ledger')
     union all select concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
     union all select concat_ws(' ', indexrelid::regclass, pg_get_indexdef(indexrelid)) from pg_index where indrelid in (select oid from pg_class where relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace))
     union all select concat_ws(' ', oid::regprocedure, prosecdef, proconfig, md5(prosrc)) from pg_proc where pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
     union all select concat_ws(' ', tgrelid::regclass, pg_get_triggerdef(oid)) from pg_trigger where not tgisinternal
     union all select concat_ws(' ', grantee, table_schema, table_name, column_name, privilege_type) from information_schema.column_privileges
                where table_schema in ('engine', 'ledger') and grantee like any(array['app%', 'auditor', 'ledger%', 'PUBLIC']) and grantee <> 'ledger_owner'
     order by 1`,
  );
  return rows.map((row) => row.line);
}

/**
 * Migrates on a connection that ends at its nth query: before it, or by the server while it runs. An index waits for an
 * older transaction then, so that it is left half built. True: the connection did not end.
 */
async function migratedWithin(url: string, queries: number, folder: string): Promise<boolean> {
  const [client, older] = [createClient({ connectionString: url }), createClient({ connectionString: url })];
  await Promise.all([client.connect(), older.connect()]);
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const { pid } = rows[0]!;
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  const isWaiting = async () => {
    const { rowCount } = await older.query(`select from pg_locks where pid = $1 and not granted`, [pid]);
    return rowCount !== 0;
  };
  let asked = 0;
  const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
  Object.assign(client, {
    query: async (...given: unknown[]) => {
      asked += 1;
      if (asked !== queries) return query(...given);
      if (queries % 2 === 0) stream.destroy();
      else await older.query('begin isolation level repeatable read; select from engine.callback limit 1');
      let isDone = false;
      const answer = query(...given).finally(() => (isDone = true));
      void answer.catch(() => undefined);
      if (queries % 2 === 1) await until('the query to wait or end', async () => isDone || (await isWaiting()));
      await older.query('select pg_terminate_backend($1)', [pid]);
      return answer;
    },
  });
  try {
    await migrate(client, folder);
    return asked < queries;
  } catch {
    return false;
  } finally {
    await Promise.all([client, older].map((one) => one.end().catch(() => undefined)));
  }
}

describe('an empty database', () => {
  it('is brought to the newest schema, and a second run applies nothing', async () => {
    const { client } = await emptyDatabase();
    expect(await migrate(client)).toEqual(FILES);
    expect(await applied(client)).toEqual(FILES);
    const before = await schema(client);
    expect(before.length).toBeGreaterThan(200);
    expect(await migrate(client)).toEqual([]);
    expect(await schema(client)).toEqual(before);
  });

  it('is migrated to the same schema by runs that are killed at any query', { timeout: 180_000 }, async () => {
    const [killed, fresh] = [await emptyDatabase(), await emptyDatabase()];
    await migrate(fresh.client);
    const SINCE = FILES.findIndex((file) => file.startsWith('032'));
    await migrate(killed.client, await copyOfMigrations(FILES.slice(0, SINCE)));
    let runs = 0;
    for (let upTo = SINCE + 1; upTo <= FILES.length; upTo += 1) {
      const folder = await copyOfMigrations(FILES.slice(0, upTo));
      for (let queries = 1; !(await migratedWithin(killed.url, queries, folder)); queries += 1) runs += 1;
    }
    expect(runs).toBeGreaterThan(10);
    expect(await applied(killed.client)).toEqual(FILES);
    expect(await schema(killed.client)).toEqual(await schema(fresh.client));
    const { rows } = await killed.client.query('select indexrelid::regclass from pg_index where not indisvalid');
    expect(rows).toEqual([]);
  });

  it('is migrated once by two runners at the same moment: the second waits and finds nothing to do', async () => {
    const { url, client } = await emptyDatabase();
    const runners = [client, await connect(url), await connect(url)];
    const results = await Promise.all(runners.map((runner) => migrate(runner)));
    expect(results.toSorted((a, b) => b.length - a.length)).toEqual([FILES, [], []]);
    expect(await applied(client)).toEqual(FILES);
  });

  it('may be one of two that are migrated at the same moment, though roles belong to both', async () => {
    const [one, two] = [await emptyDatabase(), await emptyDatabase()];
    expect(await Promise.all([migrate(one.client), migrate(two.client)])).toEqual([FILES, FILES]);
    expect(await schema(one.client)).toEqual(await schema(two.client));
  });
});

it('an API of before goes on finding its callers until the contract, by keys that are issued meanwhile as well', async () => {
  const { client } = await emptyDatabase();
  const before = FILES.filter((file) => file < '017');
  await migrate(client, await copyOfMigrations(before));
  const issuedBefore = (name: string) =>
    client.query(`insert into engine.api_key (name, hash, scopes) values ($1, sha256(convert_to($1, 'UTF8')), '{}')`, [
      name,
    ]);
  await issuedBefore('old');
  await migrate(client, await copyOfMigrations(FILES.filter((file) => file < '021')));
  await issuedBefore('meanwhile');
  await client.query(`select engine.issue_key(sha256('new'), 'new', '{}', null, null)`);
  for (const name of ['old', 'meanwhile', 'new']) {
    const found = await client.query(`select name from engine.api_key where hash = sha256(convert_to($1, 'UTF8'))`, [
      name,
    ]);
    expect(found.rows).toEqual([{ name }]);
  }
  await migrate(client);
  // The proof of a key is gone from the file of the table too, as a copy of the disk has it.
  await client.query('checkpoint');
  const file = await client.query(
    `select position(sha256('new') in pg_read_binary_file(pg_relation_filepath('engine.api_key'))) as at`,
  );
  expect(file.rows).toEqual([{ at: 0 }]);
  for (const name of ['old', 'meanwhile', 'new']) {
    const found = await client.query(`select name from engine.caller(sha256(convert_to($1, 'UTF8')))`, [name]);
    expect(found.rows).toEqual([{ name }]);
  }
});

it('who calls while the contract writes the keys anew is found when it has', async () => {
  const { url, client } = await emptyDatabase();
  await migrate(client);
  await client.query(`select engine.issue_key(sha256('key'), 'key', '{}', null, null)`);
  const caller = await connect(url);
  await client.query(
    `begin; alter table engine.api_key alter column proof_hash type bytea using proof_hash || ''::bytea`,
  );
  const found = caller.query(`select name from engine.caller(sha256('key'))`);
  await until('the caller to wait', async () => {
    const { rowCount } = await client.query(
      `select from pg_locks where relation = 'engine.api_key'::regclass and not granted`,
    );
    return rowCount! > 0;
  });
  await client.query('commit');
  expect((await found).rows).toEqual([{ name: 'key' }]);
});

it('a database with a registered key, in which payments wait: none is lost or given to people, and its seal lets it go on', async () => {
  const { url, client } = await emptyDatabase();
  await migrate(client, await copyOfMigrations(FILES.filter((file) => file < '026')));
  await registerSealKey(client, testSealKey, false);
  const pool = createPool({ url, applicationName: 'test' });
  onTestFinished(() => pool.end());
  const arrived = async () => {
    const order = await reserved(client);
    const data = paid(order);
    return { item: itemFor(order, await received(client, data), data) };
  };
  const [waits, posted] = [await arrived(), await arrived()];
  const outcomeOf = async ({ item }: typeof waits) => (await creditAll(pool, [item]))[0]!.outcome;
  expect(await outcomeOf(posted)).toBe('posted');
  await migrate(client);
  expect(await outcomeOf(posted)).toBe('duplicate');
  const { log, lines } = memoryLog();
  const post = async (item: typeof waits.item) => (await creditAll(pool, [item]))[0]!;
  await expect(credit({ pool, post, log }, waits.item)).rejects.toThrow('nobody vouches for it');
  expect(lines.map((line) => (JSON.parse(line) as { alarm?: string }).alarm)).toEqual(['payment_not_vouched']);
  expect(await countUnvouched(client)).toBe(1);
  expect(await vouchForWaiting(client, testSealKey.id, sealTrust())).toEqual({ vouched: 1, held: 0, others: [] });
  expect(await countUnvouched(client)).toBe(0);
  expect(await outcomeOf(waits)).toBe('posted');
});

describe.each(isPackaged ? (['any', 'package'] as const) : (['any'] as const))(
  'on a server of its own, of what is at hand: %s',
  (binaries) => {
    let server: PostgresServer;
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'postgres-'));
      server = await startPostgres({ directory: folder, fsync: false, removeOnStop: true, binaries });
    });
    afterAll(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });
    const url = (user: string, database: string) => {
      const made = new URL(server.url);
      made.username = user;
      made.pathname = `/${database}`;
      return made.href;
    };

    it('an owner who is no superuser but may create roles makes the same schema, and it works', async () => {
      const admin = await connect(server.url);
      expect(
        (await admin.query(`select from pg_roles where rolname like 'app%' or rolname like 'ledger%'`)).rowCount,
      ).toBe(0);
      await admin.query(`create role migrator login createrole password '${admin.password}'`);
      await admin.query('create database deposits owner migrator');
      const migrator = await connect(url('migrator', 'deposits'));
      expect(await migrate(migrator)).toEqual(FILES);
      expect(await migrate(migrator)).toEqual([]);
      await setPasswords(admin);
      expect((await migrator.query('select current_user::text as who')).rows).toEqual([{ who: 'migrator' }]);

      await admin.query('create database by_superuser');
      const superuser = await connect(url('postgres', 'by_superuser'));
      await migrate(superuser);
      expect(await schema(migrator)).toEqual(await schema(superuser));
      for (const owner of [migrator, superuser]) {
        await owner.query('begin; set local search_path = pg_catalog, pg_temp');
        expect(await compareCatalogue(owner)).toMatchObject({ migrations: null, differences: [] });
        await owner.query('commit');
      }

      const pool = (user: string) => {
        const made = createPool({ url: url(user, 'deposits'), applicationName: 'test', max: 2 });
        onTestFinished(() => made.end());
        return made;
      };
      const one = await payment(pool('migrator'));
      expect(await creditAll(pool('app_worker'), [one.item])).toMatchObject([{ outcome: 'posted' }]);
      await expectCleanBooks(pool('auditor'));
      await expect(pool('migrator').query('delete from ledger.entry')).rejects.toMatchObject({ code: 'P0L01' });
    });

    it('another owner’s database is migrated too, after what an administrator has to say where PostgreSQL asks for it', async () => {
      const admin = await connect(server.url);
      await admin.query(`create role another login createrole password '${admin.password}'`);
      await admin.query('create database others owner another');
      const another = await connect(url('another', 'others'));
      const { rows } = await admin.query<{ asks: boolean }>(
        `select current_setting('server_version_num')::int >= 160000 as asks`,
      );
      if (rows[0]!.asks) {
        const error = (await migrate(another).catch((failed: unknown) => failed)) as Error;
        expect(error).toBeInstanceOf(MigrationError);
        expect(await applied(another)).toEqual([]);
        await admin.query(/grant .*$/.exec(error.message)![0]);
      }
      expect(await migrate(another)).toEqual(FILES);
    });
  },
);

describe('a migration that is refused changes nothing', () => {
  const NEXT = `${number(FILES.length + 1)}-next.sql`;
  /** The files of {@link MIGRATIONS} with a change, against a database that has those files. */
  async function refused(change: (folder: string) => Promise<unknown>): Promise<unknown> {
    const client = await connect(db.url);
    const folder = await copyOfMigrations();
    await writeFile(join(folder, NEXT), 'create table engine.more ()');
    await change(folder);
    const error: unknown = await migrate(client, folder).catch((failed: unknown) => failed);
    expect(error).toBeInstanceOf(MigrationError);
    expect(await applied(client)).toEqual(FILES);
    await expect(client.query('select from engine.more')).rejects.toMatchObject({ code: '42P01' });
    return (error as Error).message;
  }

  it('when an applied one was changed', async () => {
    expect(await refused((folder) => appendFile(join(folder, FILES[1]!), '\n-- one more comment'))).toBe(
      `${FILES[1]} was changed after it was applied: write a new migration instead`,
    );
  });

  it('when an applied one was renamed', async () => {
    expect(await refused((folder) => rename(join(folder, FILES[2]!), join(folder, '003-renamed.sql')))).toBe(
      `the database has ${FILES[2]}, these files do not: is this an older version of the code?`,
    );
  });

  it('when one is missing', async () => {
    expect(await refused((folder) => rm(join(folder, FILES[1]!)))).toBe(
      `${FILES[2]}: expected a file numbered 2, as in 001-name.sql, without gaps`,
    );
  });

  it('when the database is newer than the code', async () => {
    const older = (folder: string) => Promise.all([rm(join(folder, FILES.at(-1)!)), rm(join(folder, NEXT))]);
    expect(await refused(older)).toBe(
      `the database has ${FILES.at(-1)}, these files do not: is this an older version of the code?`,
    );
  });

  it('when it fails half way, and it locks nobody out', async () => {
    const half = (folder: string) => writeFile(join(folder, NEXT), 'create table engine.more (); select 1 / 0;');
    expect(await refused(half)).toBe(`${NEXT}: division by zero`);
    expect(await migrate(await connect(db.url))).toEqual([]);
  });

  it.each([
    ['leaves a gap', `${number(FILES.length + 3)}-next.sql`],
    ['takes a number twice', `${number(FILES.length)}-again.sql`],
    ['begins before the first', '000-before.sql'],
    ['has no number', 'next.sql'],
    ['has too short a number', `${FILES.length + 2}-next.sql`],
    ['is spelled otherwise', `${number(FILES.length + 2)}_next.sql`],
    ['is in capitals', `${number(FILES.length + 2)}-Next.sql`],
  ])('when a file %s: %s', async (_, file) => {
    expect(await refused((folder) => writeFile(join(folder, file), 'select 1'))).toContain(
      ': expected a file numbered ',
    );
  });
});

describe('a migration', () => {
  it('that failed can be tried again, takes on no role of another and leaves none behind', async () => {
    const { client } = await emptyDatabase();
    const folder = await copyOfMigrations();
    const next = `${number(FILES.length + 1)}-next.sql`;
    await writeFile(join(folder, next), 'oops');
    await expect(migrate(client, folder)).rejects.toThrow(MigrationError);
    expect(await applied(client)).toEqual(FILES);
    await writeFile(join(folder, next), 'create table engine.more (); set role ledger_owner');
    expect(await migrate(client, folder)).toEqual([next]);
    const { rows } = await client.query(
      `select tableowner::text as owner, current_user::text as who from pg_tables where tablename = 'more'`,
    );
    expect(rows).toEqual([{ owner: 'postgres', who: 'postgres' }]);
  });
});

describe('a file that takes away what the version before needs', () => {
  const sql = (what: string) => `create table public.${what} (at timestamptz)`;
  async function withContract(upTo: number): Promise<string> {
    const folder = await copyOfMigrations(FILES.slice(0, upTo));
    await writeFile(join(folder, `${number(upTo + 1)}-contract.sql`), sql('taken_away'));
    await writeFile(join(folder, `${number(upTo + 2)}-more.sql`), sql('more'));
    return folder;
  }
  const told: string[] = [];
  const later = { contract: 'later' as const, tell: (line: string) => void told.push(line) };

  it('is left on a database that is in use, without holding up what follows it, until it is asked for', async () => {
    const { client } = await emptyDatabase();
    const folder = await withContract(3);
    await migrate(client, await copyOfMigrations(FILES.slice(0, 2)));
    expect(await migrate(client, folder, later)).toEqual([FILES[2], '005-more.sql']);
    expect(told).toEqual([expect.stringMatching(/--contract.*: 004-contract.sql$/)]);
    expect(await migrate(client, folder, later)).toEqual([]);
    // The next version brings another.
    await writeFile(join(folder, '006-contract-more.sql'), sql('taken_away_too'));
    await writeFile(join(folder, '007-most.sql'), sql('most'));
    expect(await migrate(client, folder, later)).toEqual(['007-most.sql']);
    expect(told.at(-1)).toContain(': 004-contract.sql, 006-contract-more.sql');
    expect(await migrate(client, folder)).toEqual(['004-contract.sql', '006-contract-more.sql']);
    expect(await migrate(client, folder, later)).toEqual([]);
  });

  it('is the only kind that may be passed over', async () => {
    const { client } = await emptyDatabase();
    const folder = await withContract(3);
    await migrate(client, folder);
    await client.query(`delete from engine.schema_migration where name = $1`, [FILES[2]]);
    await expect(migrate(client, folder)).rejects.toThrow(`the database has 005-more.sql and not ${FILES[2]}`);
  });

  it('makes the same schema whether it comes in its place or after everything that follows it', async () => {
    const [used, fresh] = [await emptyDatabase(), await emptyDatabase()];
    await migrate(used.client, await copyOfMigrations(FILES.filter((file) => file < '021')));
    const rest = await migrate(used.client, MIGRATIONS, later);
    const left = FILES.filter((file) => file.includes('-contract'));
    expect(rest).toEqual(FILES.filter((file) => file > '021' && !left.includes(file)));
    expect(await migrate(used.client)).toEqual(left);
    await migrate(fresh.client);
    expect(await schema(used.client)).toEqual(await schema(fresh.client));
  });

  it('is applied at once to a new database', async () => {
    const { client } = await emptyDatabase();
    expect(await migrate(client, await withContract(2), later)).toHaveLength(4);
  });
});
