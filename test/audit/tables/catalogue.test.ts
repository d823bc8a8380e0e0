import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import pino from 'pino';
import { afterAll, describe, expect, it, onTestFinished, test } from 'vitest';
import { checkCatalogue } from '../../../audit/tables/catalogue.ts';
import { NO_EXCEPTIONS } from '../../../audit/exceptions.ts';
import { CATALOGUE, FUNCTIONS, warnOfCatalogue } from '../../../database/schema/catalogue.ts';
import { isContract, migrate, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { readFunctions, readManifest } from '../../../local/catalogue.ts';
import { createTestDatabase, required } from '../../support/database.ts';

const db = await createTestDatabase();
const scratch = await mkdtemp(join(tmpdir(), 'deposit-catalogue-'));
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** The auditor's findings after this SQL; all of it is undone, the server's roles too. */
async function after(sql: string, exceptions = NO_EXCEPTIONS) {
  const client = await db.owner.connect();
  try {
    await client.query('begin');
    await client.query(sql);
    await client.query('set local role auditor; set local search_path = pg_catalog, pg_temp');
    return await checkCatalogue(client, exceptions);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const told = async (sql: string) => (await after(sql)).findings.map(({ where, detail }) => `${where} ${detail}`);

/** An untouched database. */
async function emptyDatabase(): Promise<pg.Client> {
  const name = `catalogue_${randomBytes(6).toString('hex')}`;
  const admin = await connect(required('TEST_POSTGRES_URL'));
  await admin.query(`create database ${name}`);
  const url = new URL(required('TEST_POSTGRES_URL'));
  url.pathname = `/${name}`;
  const client = await connect(url.href);
  onTestFinished(async () => {
    await client.end();
    await admin.query(`drop database ${name} with (force)`);
    await admin.end();
  });
  return client;
}

test('a database that the migrations made has just the lines of database/catalogue.txt, and the functions of functions.sql', async () => {
  const client = await emptyDatabase();
  const made = await readManifest(client, scratch);
  expect(made, 'run npm run catalogue').toBe(await readFile(CATALOGUE, 'utf8'));
  expect(await readFunctions(client), 'run npm run catalogue').toBe(await readFile(FUNCTIONS, 'utf8'));
});

test('one whose contract is left is compared with what it is until then, and that it is left is said in one line', async () => {
  const client = await emptyDatabase();
  const names = await readdir(MIGRATIONS);
  const contract = names.toSorted().find(isContract)!;
  const folder = join(scratch, 'before');
  await mkdir(folder);
  for (const name of names.filter((one) => one < contract)) await copyFile(join(MIGRATIONS, name), join(folder, name));
  await migrate(client, folder);
  await migrate(client, MIGRATIONS, { contract: 'later' });
  await client.query('grant delete on engine.deposit to app_api; set search_path = pg_catalog, pg_temp');
  const { findings, checked } = await checkCatalogue(client, NO_EXCEPTIONS);
  expect(checked).toBeGreaterThan(900);
  expect(findings).toMatchObject([
    {
      where: 'the migrations',
      detail: expect.stringMatching(`run npm run migrate -- --contract, which applies ${contract}`),
    },
    { where: 'grant delete on engine.deposit to app_api' },
  ]);
});

test('nothing is found in it, and the server’s superusers are named', async () => {
  const { findings, checked, notes } = await after('select');
  expect(findings).toEqual([]);
  expect(checked).toBeGreaterThan(900);
  expect(notes).toContainEqual(expect.stringMatching(/superusers, who may do anything: .*postgres/));
});

const RELEASE = 'ledger.release(text, bigint, text, text, numeric, text, text, text, bigint, numeric)';

type Change = readonly [what: string, sql: string, told: string | RegExp];

/** All in one run, which is quicker. */
const CHANGES: readonly Change[] = [
  [
    'a trigger that is switched off',
    'alter table ledger.entry disable trigger append_only',
    /^trigger append_only on ledger.entry is “switched off, .*”, and should be “on, /,
  ],
  ['a trigger that is gone', 'drop trigger admit on engine.decision', /^trigger admit on engine.decision is not there/],
  [
    'a trigger that is asked in fewer cases',
    `create or replace trigger state before update of state on engine.deposit for each row when (old.state is null) execute function engine.refuse_row()`,
    /^trigger state on engine.deposit is “/,
  ],
  [
    'all triggers of a table',
    'alter table engine.callback disable trigger all',
    /^constraint callback_deposit_fkey on engine.callback is .*2 switched off.*should be/,
  ],
  [
    'the triggers behind one foreign key',
    `update pg_trigger set tgenabled = 'D' where tgrelid = 'ledger.entry'::regclass and tgisinternal`,
    /^constraint entry_account_id_fkey on ledger.entry is /,
  ],
  [
    'the body of a function',
    `create or replace function ledger.audit() returns table (fault text, found bigint) language sql stable set search_path = ledger, pg_temp as $$ select 'broken block', 0::bigint $$`,
    /^function ledger.audit\(\) is “.*text /,
  ],
  [
    'a function with another search path',
    'alter function engine.told(text) set search_path = public, engine',
    /^function engine.told\(.*search_path=public/,
  ],
  [
    'a function that runs with other rights',
    'alter function engine.caller(bytea) security invoker',
    /^function engine.caller\(/,
  ],
  [
    'the owner of a function',
    'alter function engine.raised(bigint, boolean) owner to ledger_owner',
    /^function engine.raised\(.* is “owner ledger_owner/,
  ],
  [
    'an owner that is called as whoever migrates is written',
    'create role "$owner"; alter function engine.archive_done(text, timestamptz) owner to "$owner"',
    /^function engine.archive_done\(.* is “owner "\$owner"/,
  ],
  [
    'a function that nobody asked for',
    `create function engine.more() returns int language sql as 'select 1'`,
    /^function engine.more\(\) is there, and this version makes no such thing/,
  ],
  [
    'one with its owner’s rights, in another schema',
    `create function public.mint() returns int language sql security definer as 'select 1'`,
    /^function public.mint\(\) is there/,
  ],
  [
    'one in the place of a built-in function',
    `create function pg_catalog.concat_ws(text, bigint, text) returns text language sql as 'select null'`,
    /^function pg_catalog.concat_ws\(text, bigint, text\) is there/,
  ],
  [
    'a grant on a table',
    'grant update on ledger.balance to app_worker',
    'grant update on ledger.balance to app_worker is there, and this version makes no such thing',
  ],
  [
    'a grant on a column',
    'grant select (payer_name) on engine.deposit to auditor',
    'grant select on engine.deposit.payer_name to auditor is there, and this version makes no such thing',
  ],
  [
    'a grant on a function',
    `grant execute on function ${RELEASE} to app_worker`,
    /^grant execute on function ledger.release\(.*\) to app_worker is there/,
  ],
  [
    'a grant on a schema',
    'grant create on schema engine to app_api',
    /^grant create on schema engine to app_api is there/,
  ],
  [
    'a grant to everybody',
    'grant select on engine.api_key to public',
    /^grant select on engine.api_key to public is there/,
  ],
  [
    'a grant that is lost',
    'revoke select on ledger.block from ledger_reader',
    'grant select on ledger.block to ledger_reader is not there; this version makes it',
  ],
  ['a superuser', 'alter role app_worker superuser', 'role app_worker is “login, superuser”, and should be “login”'],
  ['a group that may log in', 'alter role ledger_owner login', /^role ledger_owner is “login”/],
  [
    'a membership',
    'grant ledger_owner to app_worker',
    'member app_worker of ledger_owner is there, and this version makes no such thing',
  ],
  [
    'a stranger in a group',
    'create role stranger; grant engine_owner to stranger',
    'member stranger of engine_owner is there, and this version makes no such thing',
  ],
  [
    'an index that is gone',
    'drop index ledger.one_automatic_credit',
    /^index ledger.one_automatic_credit is not there; this version makes it: CREATE UNIQUE/,
  ],
  [
    'an index that is not kept up',
    `update pg_index set indisvalid = false where indexrelid = 'engine.review_case_one_open'::regclass`,
    /^index engine.review_case_one_open is “.*, not valid”/,
  ],
  [
    'a constraint that is gone',
    'alter table ledger.transaction drop constraint sign_of_amount',
    /^constraint sign_of_amount on ledger.transaction is not there/,
  ],
  [
    'a constraint that is not valid',
    'alter table ledger.transaction drop constraint size_of_fee, add constraint size_of_fee check (fee * amount >= 0 and abs(fee) < abs(amount) and (fee = 0 or kind <> $$suspense$$)) not valid',
    /^constraint size_of_fee on ledger.transaction is “.*NOT VALID”/,
  ],
  [
    'a domain that takes more',
    'alter domain ledger.quantity drop constraint quantity_check',
    /^constraint quantity_check on ledger.quantity is not there/,
  ],
  [
    'a rule',
    'create rule away as on insert to engine.decision do instead nothing',
    /^rule away on engine.decision is there/,
  ],
  [
    'a view',
    'create or replace view ledger.suspense_open as select t.id, t.provider, t.deposit, t.provider_code, t.amount::numeric, t.posted_at, t.workflow_id from ledger.transaction t where false',
    /^view ledger.suspense_open is “/,
  ],
  [
    'a table’s row security and a policy',
    'alter table ledger.transaction enable row level security; create policy few on ledger.transaction using (false)',
    /^policy few on ledger.transaction is there/,
  ],
  ['a column', 'alter table ledger.entry add column note text', /^column ledger.entry.note is there/],
  [
    'a default',
    `alter table engine.decision alter column at set default now() - interval '1 day'`,
    /^column engine.decision.at is “/,
  ],
  [
    'a table that others inherit',
    'create table public.more () inherits (ledger.transaction)',
    /^table ledger.transaction is “.*inherited by public.more”/,
  ],
  [
    'a table that inherits, so that rights on another are rights on it',
    'create table public.away (amount numeric not null); grant update on public.away to app_api; alter table ledger.balance inherit public.away',
    /^table ledger.balance is “owner ledger_owner, inherits from public.away/,
  ],
  [
    'a view of another schema, by which a table can be written with its owner’s rights',
    'create view public.door as select * from ledger.account; alter view public.door owner to ledger_owner; grant update on public.door to app_api',
    /^view public.door is there, .*: owner ledger_owner, reaches ledger.account$/,
  ],
  [
    'a rule of another schema, that writes with its owner’s rights',
    'create table public.ask (n int); create rule ask as on insert to public.ask do instead update ledger.slot set key = key',
    /^table public.ask is there, .*, reaches ledger.slot$/,
  ],
  [
    'default privileges',
    'alter default privileges in schema engine grant select on tables to app_api',
    /^default privileges of \$owner for tables in engine is there/,
  ],
  [
    'a setting of a role',
    'alter role app_worker set session_replication_role = replica',
    'setting of app_worker is there, and this version makes no such thing: session_replication_role=replica',
  ],
  [
    'a setting of the database',
    'do $$ begin execute format($f$alter database %I set row_security = off$f$, current_database()); end $$',
    'setting of everybody here is there, and this version makes no such thing: row_security=off',
  ],
  [
    'an event trigger',
    'create function engine.quiet() returns event_trigger language plpgsql as $$ begin end $$; create event trigger quiet on ddl_command_end execute function engine.quiet()',
    /^event trigger quiet is there/,
  ],
  [
    'one that is written into an extension, where nobody looks for it',
    'create function engine.hidden() returns event_trigger language plpgsql as $$ begin end $$; create event trigger hidden on ddl_command_end execute function engine.hidden(); alter extension plpgsql add event trigger hidden',
    /^event trigger hidden is there/,
  ],
  [
    'a trigger that calls itself PostgreSQL’s own',
    `create function engine.sly() returns trigger language plpgsql as $$ begin return new; end $$; create trigger sly before insert on ledger.entry for each row execute function engine.sly(); update pg_trigger set tgisinternal = true where tgname = 'sly'`,
    /^trigger sly on ledger.entry is there/,
  ],
  [
    'a trigger behind a foreign key that does something else',
    `update pg_trigger set tgfoid = 'engine.sly()'::regprocedure where tgrelid = 'engine.stated_facts'::regclass and tgisinternal`,
    /^constraint stated_facts_decision_fkey on engine.stated_facts is “.*kept by 2 triggers”/,
  ],
  [
    'a grant on what PostgreSQL made: a function that writes files, and a table of its own',
    'grant execute on function pg_catalog.lo_export(oid, text) to app_api; grant update on pg_catalog.pg_proc to app_worker',
    /^grant update on pg_catalog.pg_proc to app_worker is there/,
  ],
  [
    'another setting of the same role',
    `alter role app_worker set work_mem = '64kB'`,
    'setting of app_worker is there, and this version makes no such thing: work_mem=64kB',
  ],
  [
    'a setting that ends as a time limit is called',
    'alter role app_api set search_path = public, a_timeout',
    'setting of app_api is there, and this version makes no such thing: search_path=public, a_timeout',
  ],
  [
    'who writes every table',
    'create role scribe; grant pg_write_all_data to scribe',
    'member scribe of pg_write_all_data is there, and this version makes no such thing',
  ],
  [
    'a function of another schema that runs with the rights of a member of an owner',
    `create role almost createrole in role ledger_owner; create function public.loan() returns int language sql security definer as 'select 1'; alter function public.loan() owner to almost`,
    /^function public.loan\(\) is there/,
  ],
  [
    'statistics, for which the server runs what somebody wrote',
    'create statistics engine.watch on acked, attempts from engine.callback',
    'statistics engine.watch on engine.callback is there, and this version makes no such thing: owner whoever migrates',
  ],
  [
    'a server on which no trigger is asked',
    'set local session_replication_role = replica',
    'setting of the server is there, and this version makes no such thing: session_replication_role=replica',
  ],
  [
    'an operator',
    'create function engine.same(text, text) returns boolean language sql as $$ select true $$; create operator pg_catalog.=== (leftarg = text, rightarg = text, function = engine.same)',
    /^operator ===\(text,text\) is there/,
  ],
];

describe('what somebody changed is named', async () => {
  const found = await told(CHANGES.map(([, sql]) => sql).join(';\n'));
  it.each(CHANGES)('%s', async (_, sql, expected) => {
    expect(found).toContainEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
  });

  it('where PostgreSQL has it, that somebody may switch triggers off for himself', async () => {
    const { rows } = await db.owner.query<{ has: boolean }>(
      `select current_setting('server_version_num')::int >= 150000 as has`,
    );
    if (!rows[0]!.has) return;
    expect(await told('grant set on parameter session_replication_role to app_worker')).toEqual([
      'grant set on parameter session_replication_role to app_worker is there, and this version makes no such thing',
    ]);
  });
});

describe('what differs from place to place is no finding', () => {
  it.each([
    [
      'the settings of a deployment',
      `alter role app_api set statement_timeout = '5s'; alter role app_worker set log_min_duration_statement = -1; alter role app_api set search_path = engine, pg_temp`,
    ],
    ['a login that works as the auditor', 'create role outside login in role auditor'],
    [
      'another schema, what is published',
      'create schema mine create table t (a int); create publication leak for table engine.deposit',
    ],
    [
      'another owner of a database, who migrated it',
      'create role other login createrole in role engine_owner, ledger_owner',
    ],
    [
      'another owner',
      'create role boss; do $$ declare r regclass; f regprocedure; begin alter schema engine owner to boss; for r in select oid from pg_class where relnamespace = $n$engine$n$::regnamespace and relkind in ($n$r$n$, $n$v$n$) and relowner = (select oid from pg_roles where rolname = $n$postgres$n$) loop execute format($f$alter table %s owner to boss$f$, r); end loop; for f in select oid from pg_proc where pronamespace = $n$engine$n$::regnamespace and proowner = (select oid from pg_roles where rolname = $n$postgres$n$) loop execute format($f$alter function %s owner to boss$f$, f); end loop; end $$',
    ],
  ])('%s', async (_, sql) => expect(await told(sql)).toEqual([]));

  it('an extension and a grant that are in the list of exceptions, and are named with their reason', async () => {
    const line = 'grant select on engine.event to reporting';
    const reason = '2026-02-03: the reports of the month read it';
    const { findings, notes } = await after('create role reporting; grant select on engine.event to reporting', {
      ...NO_EXCEPTIONS,
      catalogue: new Map([[line, reason]]),
    });
    expect(findings).toEqual([]);
    expect(notes).toContain(`The database has ${line}: ${reason}`);
  });
});

describe('a database between two versions says so in one line', () => {
  it.each<[what: string, sql: string, told: string]>([
    [
      'half migrated',
      `delete from engine.schema_migration where name >= '018'`,
      'the migrations are not finished: run npm run migrate',
    ],
    [
      'of a newer version',
      `insert into engine.schema_migration values ('999-next.sql', '')`,
      '999-next.sql is applied, which this version does not have',
    ],
    [
      'of another text',
      `update engine.schema_migration set sha256 = '' where name like '007%'`,
      '007-archive.sql was applied with another text',
    ],
  ])('%s', async (_, sql, expected) => {
    expect(await told(sql)).toEqual([expect.stringContaining(expected)]);
  });

  it('whose list nobody may read is compared all the same', async () => {
    const found = await told(
      'revoke select on engine.schema_migration from auditor; drop index ledger.one_automatic_credit',
    );
    expect(found).toHaveLength(3);
    expect(found[0]).toMatch(/cannot be read/);
  });
});

test('the API tells at its start what differs first, how much does, and nothing of a clean database', async () => {
  const lines: { alarm: string; count: number; first: string }[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line)) });
  const api = db.poolFor('app_api');
  await warnOfCatalogue(api, log);
  expect(lines).toEqual([]);
  await db.owner.query('alter table ledger.block disable trigger append_only; drop index engine.callback_by_code');
  await warnOfCatalogue(api, log);
  expect(lines).toMatchObject([
    {
      alarm: 'catalogue_differs',
      count: 2,
      first: expect.stringMatching(/^index engine.callback_by_code is not there/),
    },
  ]);
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
