import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Role } from '../../database/pool.ts';
import { creditAll } from '../../ledger/credit.ts';
import { createTestDatabase } from '../support/database.ts';
import { call, expectCleanBooks, facts, type Payment, payment } from './payments.ts';

const db = await createTestDatabase();
const ROLES: readonly Role[] = ['app_api', 'app_worker', 'app_decisions', 'auditor'];
const pools = Object.fromEntries(ROLES.map((role) => [role, db.poolFor(role)])) as Record<Role, pg.Pool>;

const APPEND_ONLY = 'P0L01';
const UNBALANCED = 'P0L02';
const NO_PRIVILEGE = '42501';

let posted: Payment;
beforeAll(async () => {
  posted = await payment(db.owner);
  await creditAll(pools.app_worker, [posted.item]);
});

/** Runs as a role in a transaction that is always rolled back; returns the SQLSTATE, or null when it was allowed. */
async function refusal(pool: pg.Pool, sql: string, role?: string): Promise<string | null> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    if (role !== undefined) await client.query(`set local role ${role}`);
    await client.query(sql);
    return null;
  } catch (error) {
    return (error as pg.DatabaseError).code ?? String(error);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const COLUMN = {
  account: 'kind',
  transaction: 'workflow_id',
  entry: 'line',
  block: 'at',
  lineage: 'root',
  double_at_migration: 'postings',
  balance: 'amount',
  slot: 'key',
};
type Table = keyof typeof COLUMN;
const TABLES = Object.keys(COLUMN) as Table[];
const CHANGES = (table: Table) => ({
  update: `update ledger.${table} set ${COLUMN[table]} = ${COLUMN[table]}`,
  delete: `delete from ledger.${table}`,
  truncate: `truncate ledger.${table} cascade`,
});

const MONEY_MOVES: [string, string][] = [
  ['credit', `select ledger.credit('[]')`],
  ['park', `select ledger.park('[]')`],
  ['release', `select ledger.release('k', 1, 'd', 'w', 0, 'wf', 'alice+bob', 'because')`],
  ['reverse', `select ledger.reverse('k', 1, false, 'wf', 'alice+bob', 'because')`],
  ['give back', `select ledger.give_back('k', 1, 'wf', 'alice+bob', 'because')`],
];

describe.each([
  { who: 'a superuser', role: undefined },
  { who: "the ledger's owner", role: 'ledger_owner' },
])('what was written, even for $who', ({ role }) => {
  it.each(TABLES.filter((table) => table !== 'balance' && table !== 'slot'))('cannot be changed: %s', async (table) => {
    for (const [change, sql] of Object.entries(CHANGES(table))) {
      expect(await refusal(db.owner, sql, role), change).toBe(APPEND_ONLY);
    }
  });

  it('cannot be taken out of the balances', async () => {
    expect(await refusal(db.owner, CHANGES('balance').delete, role)).toBe(APPEND_ONLY);
    expect(await refusal(db.owner, CHANGES('balance').truncate, role)).toBe(APPEND_ONLY);
  });

  it('cannot be emptied at once where it is a slot; one by one the audit sees it', async () => {
    expect(await refusal(db.owner, CHANGES('slot').truncate, role)).toBe(APPEND_ONLY);
  });

  it('cannot be joined by entries that do not add up to zero', async () => {
    const entry = (lines: string) =>
      refusal(
        db.owner,
        `insert into ledger.entry (transaction_id, line, account_id, amount)
         select t.id, v.line, v.account, v.amount from ledger.transaction t, (values ${lines}) v(line, account, amount) limit 2`,
        role,
      );
    expect(await entry('(11, 1, 1.00000001)')).toBe(UNBALANCED);
    expect(await entry('(11, 1, 1), (12, 2, -0.99999999)')).toBe(UNBALANCED);
    expect(await entry('(11, 1, 1), (12, 2, -1)')).toBeNull();
  });
});

describe('a posting', () => {
  it.each([
    ['a ninth decimal', { amount: '1.000000001' }, '23514'],
    ['NaN', { amount: 'NaN' }, '23514'],
    ['infinity', { amount: 'Infinity' }, '23514'],
    ['no amount', { amount: '0' }, '23514'],
    ['a negative amount', { amount: '-1' }, '23514'],
    ['more than there is', { amount: '1e20' }, '23514'],
    ['a fee as large as the amount', { fee: '5000' }, '23514'],
    ['a negative fee', { fee: '-1' }, '23514'],
    ['no fee', { fee: null }, '23502'],
    ['no key', { key: null }, '23502'],
    ['no deposit', { deposit: null }, '23502'],
    ['no code', { provider_code: null }, '23514'],
    ['no price', { fiat_amount: null }, '23514'],
    ['a price of nothing', { fiat_amount: '0' }, '23514'],
    ['a unit price of nothing', { unit_price: '0' }, '23514'],
    ['another currency', { fiat: 'USD' }, '23514'],
    ['a separator in its code', { provider_code: 'a|b' }, '23514'],
    ['a blank in its wallet', { wallet: 'a b' }, '23514'],
    ['a line end in its key', { key: 'a\nb' }, '23514'],
    ['another script in its deposit', { deposit: 'é' }, '23514'],
    ['an empty code', { provider_code: '' }, '23514'],
    ['a code beyond measure', { provider_code: 'a'.repeat(201) }, '23514'],
    ['a provider without accounts', { provider: 'other' }, '23502'],
    ['an amount that is no number', { amount: 'many' }, '22P02'],
  ] as [string, Record<string, string | null>, string][])(
    'with %s is refused, and so is all of its batch',
    async (_, change, code) => {
      const [one, beside] = [await payment(db.owner), await payment(db.owner)];
      const batch = [facts(beside.item), facts(one.item, change)];
      await expect(call(db.owner, 'credit', batch)).rejects.toMatchObject({ code });
      const { rows } = await pools.auditor.query('select from ledger.transaction where deposit = any($1)', [
        [one.item.deposit, beside.item.deposit],
      ]);
      expect(rows).toEqual([]);
    },
  );

  it('comes in batches of one to five hundred', async () => {
    await expect(call(db.owner, 'credit', [])).rejects.toMatchObject({ code: 'P0L03' });
    const many = Array.from({ length: 501 }, () => facts(posted.item));
    await expect(call(db.owner, 'credit', many)).rejects.toMatchObject({ code: 'P0L03' });
    expect(await call(db.owner, 'credit', many.slice(1))).toHaveLength(500);
  });
});

describe('each role', () => {
  it('may call these functions of the ledger and no other', async () => {
    const { rows } = await db.owner.query<{ role: string; functions: string[] }>(
      `select r.role, array_agg(p.proname::text order by p.proname) filter (where has_function_privilege(r.role, p.oid, 'execute')) as functions
         from unnest($1::text[]) r(role) cross join pg_proc p
        where p.pronamespace = 'ledger'::regnamespace and p.prorettype <> 'trigger'::regtype group by 1`,
      [[...ROLES, 'public', 'ledger_poster']],
    );
    const read = [
      'audit',
      'code',
      'content',
      'legs',
      'line',
      'place',
      'postings_of',
      'root',
      'seal',
      'standing',
      'tip',
      'verify_chain',
    ];
    expect(Object.fromEntries(rows.map((row) => [row.role, row.functions]))).toEqual({
      app_api: read,
      app_worker: ['code'],
      app_decisions: read,
      auditor: read,
      ledger_poster: ['code'],
      public: null,
    });
  });

  it('may do this with the tables of the ledger and nothing else', async () => {
    const { rows } = await db.owner.query<{ role: string; privileges: string[] }>(
      `select r.role, array_agg(distinct v.privilege order by v.privilege) filter (where has_table_privilege(r.role, c.oid, v.privilege)) as privileges
         from unnest($1::text[]) r(role) cross join pg_class c
        cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) v(privilege)
        where c.relnamespace = 'ledger'::regnamespace and c.relkind in ('r', 'v') group by 1`,
      [[...ROLES, 'public']],
    );
    expect(Object.fromEntries(rows.map((row) => [row.role, row.privileges]))).toEqual({
      app_api: ['select'],
      app_worker: null,
      app_decisions: ['select'],
      auditor: ['select'],
      public: null,
    });
  });

  it('has no way around: none is a superuser, owns the books or may become their owner', async () => {
    const { rows } = await db.owner.query(
      `select rolname from pg_roles where rolname = any($1)
          and (rolsuper or rolcreaterole or rolbypassrls or pg_has_role(rolname, 'ledger_owner', 'member'))`,
      [ROLES],
    );
    expect(rows).toEqual([]);
  });

  it.each(ROLES.flatMap((role) => TABLES.map((table) => ({ role, table }))))(
    '$role cannot write to $table',
    async ({ role, table }) => {
      for (const [change, sql] of Object.entries(CHANGES(table))) {
        expect(await refusal(pools[role], sql), change).toBe(NO_PRIVILEGE);
      }
      expect(
        await refusal(pools[role], `insert into ledger.${table} overriding system value select * from ledger.${table}`),
      ).toBe(NO_PRIVILEGE);
    },
  );
});

describe('the worker', () => {
  it.each([...TABLES, 'trial_balance', 'suspense_open'])('cannot read the books: %s', async (table) => {
    expect(await refusal(pools.app_worker, `select from ledger.${table}`)).toBe(NO_PRIVILEGE);
  });

  it.each([
    ...MONEY_MOVES,
    ['see what stands', `select ledger.standing('d')`],
    ['post', `select ledger.post('{}')`],
    ['incoming', `select ledger.incoming('credit', '[]')`],
    ['audit', 'select ledger.audit()'],
  ])('cannot %s', async (_, sql) => {
    expect(await refusal(pools.app_worker, sql)).toBe(NO_PRIVILEGE);
  });

  it('cannot change what a deposit asked for, nor the message that pays it, nor who may call', async () => {
    for (const sql of [
      'update engine.deposit set mtc_amount = 1',
      'update engine.deposit set total_price = 1',
      `update engine.deposit set wallet = 'w'`,
      `update engine.deposit set settings = '{}'`,
      'update engine.deposit set bound_callback = null',
      `update engine.callback set data = '{}'`,
      `update engine.callback set receipt = 'first'`,
      'insert into engine.deposit default values',
      'insert into engine.callback default values',
      'delete from engine.deposit',
      'delete from engine.callback',
      'delete from engine.placement_attempt',
      'update engine.placement_attempt set deadline = now()',
      'delete from engine.own_stamp',
      'update engine.event set data = null',
      'select from engine.api_key',
      `insert into engine.decision (callback, step, reason, operator) values (1, 'confirm', 'because', 'me')`,
    ]) {
      expect(await refusal(pools.app_worker, sql), sql).toBe(NO_PRIVILEGE);
    }
  });
});

describe('decisions', () => {
  it.each([
    ...MONEY_MOVES,
    ['carry out', `select engine.carry_out('c', 1, 1, 'move', null)`],
    ['conclude', 'select engine.decision_conclude(null, null, null, null)'],
  ])('cannot move money by themselves: %s', async (_, sql) => {
    expect(await refusal(pools.app_decisions, sql)).toBe(NO_PRIVILEGE);
  });

  it('cannot change a row', async () => {
    for (const sql of [
      `update engine.deposit set state = 'CREDITED'`,
      'update engine.deposit set posting_id = 1',
      'update engine.deposit set bound_callback = 1',
      `update engine.review_case set closed_at = now(), decision = 'credit', decided_by = 'alice+bob'`,
      'update engine.review_case set parked = 1',
      'update engine.review_case set proposal = 1',
      'insert into engine.carried default values',
      'insert into engine.event default values',
      `insert into engine.decision (callback, step, reason, operator) values (1, 'confirm', 'because', 'me')`,
    ]) {
      expect(await refusal(pools.app_decisions, sql), sql).toBe(NO_PRIVILEGE);
    }
  });
});

describe('the API', () => {
  it("writes the payer's name and can never read it", async () => {
    expect(await refusal(pools.app_api, 'select payer_name from engine.deposit')).toBe(NO_PRIVILEGE);
    expect(await refusal(pools.app_api, 'select payer_name_key from engine.deposit')).toBe(NO_PRIVILEGE);
    expect(await refusal(pools.app_api, 'select * from engine.deposit')).toBe(NO_PRIVILEGE);
    expect(await refusal(pools.app_api, `select from engine.deposit where payer_name = ''`)).toBe(NO_PRIVILEGE);
    expect(
      await refusal(
        pools.app_api,
        `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, payer_name, fingerprint, settings)
         values ('o-api', 'w', 'MtcAmount', 1, 'CNY', 'en', '\\x00', '', '{"paymentWindowMs": 1, "listeningWindowMs": 1}')`,
      ),
    ).toBeNull();
  });

  it.each(['auditor', 'app_decisions'] as const)('is not alone in that: neither can %s', async (role) => {
    expect(await refusal(pools[role], 'select payer_name from engine.deposit')).toBe(NO_PRIVILEGE);
  });

  it.each([...MONEY_MOVES])('cannot move money: %s', async (_, sql) => {
    expect(await refusal(pools.app_api, sql)).toBe(NO_PRIVILEGE);
  });

  it('cannot change what was asked, what was received or what was decided', async () => {
    for (const sql of [
      'update engine.deposit set mtc_amount = 1',
      'update engine.deposit set total_price = 1',
      `update engine.deposit set wallet = 'w'`,
      `update engine.deposit set state = 'CREDITED'`,
      'update engine.deposit set posting_id = 1',
      `update engine.deposit set redirect_url = 'https://evil.example/'`,
      `update engine.deposit set payer_name = ''`,
      `update engine.deposit set settings = '{}'`,
      'delete from engine.deposit',
      `update engine.callback set data = '{}'`,
      `update engine.callback set raw = ''`,
      `update engine.callback set transaction_code = 'A'`,
      `update engine.callback set content_hash = ''`,
      'update engine.callback set received_at = now()',
      'delete from engine.callback',
      `update engine.callback_stamp set content_hash = ''`,
      'delete from engine.callback_stamp',
      'insert into engine.own_stamp values (null, null)',
      'delete from engine.own_stamp',
      `update engine.decision set operator = 'me'`,
      'delete from engine.decision',
      'insert into engine.event default values',
      'insert into engine.placement_attempt default values',
      'insert into engine.api_key default values',
      'update engine.api_key set revoked_at = null',
    ]) {
      expect(await refusal(pools.app_api, sql), sql).toBe(NO_PRIVILEGE);
    }
  });
});

describe("the engine's own records", () => {
  it.each([
    ['decision', 'callback'],
    ['stated_facts', 'amount'],
    ['carried', 'answer'],
    ['refused_step', 'refusal'],
    ['restored', 'at'],
  ])('of %s only grow, even for a superuser', async (table, column) => {
    for (const sql of [
      `update engine.${table} set ${column} = ${column}`,
      `delete from engine.${table}`,
      `truncate engine.${table} cascade`,
    ]) {
      expect(await refusal(db.owner, sql), sql).toBe('P0E01');
    }
  });
});

it('after all that was tried, the books are whole', () => expectCleanBooks(pools.auditor));
