import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const page = readFileSync(new URL('../../../docs/reference/database-roles.md', import.meta.url), 'utf8');
/** The grants allowed: one list, for readers and for this test. */
const documented = /^```grants\n(.*?)^```$/ms.exec(page)![1]!;

const GROUPS = ['engine_owner', 'ledger_owner', 'ledger_poster', 'ledger_decider', 'ledger_reader'];
const LOGINS = ['app_api', 'app_worker', 'app_notifier', 'app_decisions', 'auditor', 'archiver'];

/**
 * Every grant on any object of the engine's schemas, by the catalogue, the owner's own aside. A grant to PUBLIC that
 * was never revoked counts too. `columns` is null where the whole table is meant.
 */
const GRANTS = `
with grants as (
  select 'schema ' || nspname as object, a.* from pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
   where nspname in ('engine', 'ledger') and a.grantee <> nspowner
  union all
  select n.nspname || '.' || relname, a.* from pg_class c join pg_namespace n on n.oid = relnamespace,
         aclexplode(coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) a
   where nspname in ('engine', 'ledger') and relkind in ('r', 'p', 'v', 'm', 'S', 'f') and a.grantee <> relowner
  union all
  -- Of a long list of columns it is shorter to say what is left out.
  select n.nspname || '.' || relname, a.grantor, a.grantee, a.privilege_type || '(' ||
         coalesce('not ' || (select case when count(*) < count(distinct t.attname) then string_agg(o.attname, ', ' order by o.attname) end
                               from pg_attribute o where o.attrelid = c.oid and o.attnum > 0 and not o.attisdropped
                                and o.attname <> all (array_agg(t.attname))), string_agg(t.attname, ', ' order by t.attname)) || ')', a.is_grantable
    from pg_attribute t join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace, aclexplode(attacl) a
   where nspname in ('engine', 'ledger') and a.grantee <> relowner group by c.oid, 1, 2, 3, a.privilege_type, 5
  union all
  select n.nspname || '.' || proname || '()', a.* from pg_proc p join pg_namespace n on n.oid = pronamespace,
         aclexplode(coalesce(proacl, acldefault('f', proowner))) a
   where nspname in ('engine', 'ledger') and prorettype <> 'trigger'::regtype and a.grantee <> proowner
  union all
  -- Only the types that somebody was given; PUBLIC may use types by default and cannot do harm with them.
  select 'type ' || typname, a.* from pg_type y join pg_namespace n on n.oid = typnamespace, aclexplode(typacl) a where nspname in ('engine', 'ledger'))
select coalesce(nullif(pg_get_userbyid(grantee), 'unknown (OID=0)'), 'public') as role, object,
       string_agg(distinct lower(regexp_replace(privilege_type, '\\(.*', '')) || coalesce(substring(privilege_type from '\\(.*'), '') ||
                  case when is_grantable then ' with grant option' else '' end, ', ') as verbs
  from grants group by 1, 2 order by 1, 2`;

async function found(on: pg.Pool | pg.ClientBase = db.owner): Promise<string> {
  const grants = await on.query<{ role: string; object: string; verbs: string }>(GRANTS);
  const members = await on.query<{ role: string; of: string }>(
    `select m.rolname as role, g.rolname as of from pg_auth_members x join pg_roles m on m.oid = member join pg_roles g on g.oid = roleid
      where g.rolname = any($1) or m.rolname = any($1) order by 1, 2`,
    [[...GROUPS, ...LOGINS]],
  );
  const names = new Set([...GROUPS, ...LOGINS, ...grants.rows.map(({ role }) => role)]);
  return [...names]
    .toSorted()
    .map((role) => {
      const groups = members.rows.filter((row) => row.role === role).map((row) => `  member of ${row.of}\n`);
      const lines = grants.rows
        .filter((row) => row.role === role)
        .map(({ object, verbs }) => `  ${object.padEnd(34)} ${verbs}\n`);
      return `${role}\n${[...groups, ...lines].join('')}`;
    })
    .join('');
}

/** Each line under its role. */
function withRole(list: string): string[] {
  let role = '';
  return list.split('\n').map((line) => {
    if (/^\S/.test(line)) role = line;
    return `${role}${line}`;
  });
}

describe('what each role may do', () => {
  it('is exactly what docs/reference/database-roles.md lists: a grant that is added or lost is a difference', async () => {
    expect(await found()).toBe(documented);
  });

  it.each([
    ['a table', 'grant delete on engine.callback to app_api', 'delete'],
    ['a column', 'grant select (payer_name) on engine.deposit to auditor', 'select(not payer_name_key)'],
    [
      'a function',
      'grant execute on function ledger.release(text,bigint,text,text,numeric,text,text,text,bigint,numeric) to app_worker',
      'ledger.release()',
    ],
    ['a membership', 'grant ledger_owner to app_worker', 'member of ledger_owner'],
    ['everybody', 'grant select on engine.deposit to public', 'public'],
    ['a new table', 'create table engine.more (a int); grant select on engine.more to auditor', 'engine.more'],
    [
      'a function nobody revoked',
      `create function engine.more() returns int language sql as 'select 1'`,
      'engine.more()',
    ],
  ])('shows a change: %s', async (_, sql, shown) => {
    const client = await db.owner.connect();
    try {
      // The roles belong to every database of the server, so nothing of this is committed.
      await client.query('begin');
      await client.query(sql);
      const added = withRole(await found(client)).filter((line) => !withRole(documented).includes(line));
      expect(added.join('\n')).toContain(shown);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});

describe('no role', () => {
  it('is a superuser, makes roles or databases, replicates, passes row security, or owns anything of the engine’s', async () => {
    const { rows } = await db.owner.query(
      `select rolname from pg_roles where rolname = any($1) and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)`,
      [[...GROUPS, ...LOGINS]],
    );
    expect(rows).toEqual([]);
    const owned = await db.owner.query<{ owner: string }>(
      `select distinct pg_get_userbyid(relowner) as owner from pg_class c join pg_namespace n on n.oid = relnamespace where nspname in ('engine', 'ledger')`,
    );
    expect(owned.rows.map(({ owner }) => owner).filter((owner) => LOGINS.includes(owner))).toEqual([]);
  });

  it.each(LOGINS)('makes objects in the schemas: %s', async (role) => {
    const pool = db.poolFor(role as 'app_api');
    for (const schema of ['engine', 'ledger']) {
      await expect(pool.query(`create table ${schema}.mine ()`)).rejects.toMatchObject({ code: '42501' });
    }
  });
});

describe('facts', () => {
  it.each([
    ['deposit', `wallet = 'other'`],
    ['deposit', 'mtc_amount = 1'],
    ['deposit', `settings = '{}'`],
    ['deposit', `fingerprint = '\\x00'`],
    ['deposit', `provider = 'other'`],
    ['callback', `raw = ''`],
    ['callback', `data = '{}'`],
    ['callback', `content_hash = sha256('x')`],
    ['callback', `transaction_code = 'X'`],
    ['callback', `external_order_number = 'X'`],
  ])('of a %s cannot be changed even by the owner: %s', async (table, change) => {
    await db.owner.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings)
       values ('o-facts', 'w', 'MtcAmount', 5, 'CNY', 'en', '', '{"paymentWindowMs": 1, "listeningWindowMs": 1}') on conflict do nothing`,
    );
    await db.owner.query(
      `insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked)
       values ('o-facts', 'o-facts', 'C', sha256('a'), '{"a":1}', '{}', 'first', true) on conflict do nothing`,
    );
    await expect(db.owner.query(`update engine.${table} set ${change}`)).rejects.toMatchObject({ code: 'P0E02' });
    const same = change.replace(/ = .*/, '');
    await expect(db.owner.query(`update engine.${table} set ${same} = ${same}`)).resolves.toBeDefined();
  });

  it('of the binding: a deposit that owns a payment keeps it', async () => {
    await db.owner.query(
      `update engine.deposit set bound_callback = (select id from engine.callback where deposit = 'o-facts') where external_order_number = 'o-facts'`,
    );
    await expect(
      db.owner.query(`update engine.deposit set bound_callback = null where external_order_number = 'o-facts'`),
    ).rejects.toMatchObject({ code: 'P0E02' });
  });
});
