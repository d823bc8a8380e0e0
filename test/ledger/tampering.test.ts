import type pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import { creditAll } from '../../ledger/credit.ts';
import { createTestDatabase } from '../support/database.ts';
import { brokenBlocks, call, expectCleanBooks, facts, faultsOf, payments } from './payments.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const auditor = db.poolFor('auditor');

/** Four blocks: two postings, one, one that was parked, one. */
beforeAll(async () => {
  const some = await payments(db.owner, 5);
  const [a, b, c, d, e] = some.map((one) => one.item);
  await creditAll(worker, [a!, b!]);
  await creditAll(worker, [c!]);
  await call(db.owner, 'park', [facts(d!, { key: `suspense:mtpay:${d!.transactionCode}` })]);
  await creditAll(worker, [e!]);
});

/** Tampers as a superuser with every wall off, returns the audit's findings, and rolls back. */
async function tampered(sql: string, prepare = 'select') {
  const client = await db.owner.connect();
  try {
    await client.query('begin');
    await client.query(prepare);
    await client.query('set local session_replication_role = replica');
    const before = await summary(client);
    await client.query(sql);
    expect(await summary(client), 'the change changed nothing').not.toEqual(before);
    return { faults: await faultsOf(client), broken: await brokenBlocks(client) };
  } finally {
    await client.query('rollback');
    client.release();
  }
}

async function summary(client: pg.ClientBase) {
  const { rows } = await client.query<{ text: string }>(
    `select (select string_agg(t::text, ';' order by id) from ledger.transaction t) || (select string_agg(e::text, ';' order by transaction_id, line) from ledger.entry e)
         || (select string_agg(a::text, ';' order by id) from ledger.account a) || (select string_agg(b::text, ';' order by account_id) from ledger.balance b)
         || (select string_agg(b::text, ';' order by n) from ledger.block b)
         || coalesce((select string_agg(s::text, ';' order by deposit) from ledger.slot s), '')
         || coalesce((select string_agg(l::text, ';' order by transaction_id) from ledger.lineage l), '') as text`,
  );
  return rows[0]!.text;
}

const POSTING = '(select min(id) from ledger.transaction)';
const PARKED = `(select id from ledger.transaction where kind = 'suspense')`;
const LAST = '(select max(id) from ledger.transaction)';
const WALLET = `(select account_id from ledger.entry where transaction_id = ${POSTING} and line = 2)`;
const NEW = `insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
  select key || '-new', kind, deposit || '-new', provider, provider_code || '-new', debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id
    from ledger.transaction where id = ${POSTING}`;
const NEW_ID = `(select id from ledger.transaction where key like '%-new')`;
const NEW_WHOLE = `${NEW};
  insert into ledger.slot select deposit, key from ledger.transaction where id = ${NEW_ID};
  insert into ledger.entry select ${NEW_ID}, line, account_id, amount from ledger.entry where transaction_id = ${POSTING};
  update ledger.balance b set amount = b.amount + e.amount, entries = entries + 1 from ledger.entry e
   where e.account_id = b.account_id and e.transaction_id = ${NEW_ID}`;
const WITHOUT = (posting: string) =>
  `delete from ledger.slot where key = (select key from ledger.transaction where id = ${posting});
   update ledger.balance b set amount = b.amount - e.amount, entries = entries - 1 from ledger.entry e
    where e.account_id = b.account_id and e.transaction_id = ${posting};
   delete from ledger.entry where transaction_id = ${posting};
   delete from ledger.transaction where id = ${posting}`;

const BLOCK = 'broken block';
const MEMBERS = 'posting not in exactly one block';
const SUM = 'unbalanced posting';
const ENTRY = 'entry differs from its posting';
const BALANCE = 'balance differs from its entries';
const ZERO = 'books do not add up to zero';
const SUSPENSE = 'suspense differs from its open cases';
const SLOT = 'slot differs from what stands in wallets';
const LINEAGE = 'lineage differs from its origins';
/** Parked money, released by two operators: a chain of two postings, in a block of its own. */
const RELEASED = `select ledger.release('after:1', ${PARKED}, 'd-released', 'w-released', 0, 'review:1', 'alice+bob', 'because')`;
const RELEASE = `(select id from ledger.transaction where kind = 'release')`;

describe('a change behind the walls is found', () => {
  it.each<[string, string, readonly string[]]>([
    ['the amount of a posting', `update ledger.transaction set amount = 9999 where id = ${POSTING}`, [BLOCK, ENTRY]],
    [
      'the amount of a posting with its entries and balances',
      `update ledger.transaction set amount = 9999 where id = ${POSTING};
       update ledger.entry set amount = sign(amount) * 9999 where transaction_id = ${POSTING};
       update ledger.balance b set amount = (select sum(e.amount) from ledger.entry e where e.account_id = b.account_id)`,
      [BLOCK],
    ],
    [
      'the time of a posting',
      `update ledger.transaction set posted_at = posted_at - interval '1 microsecond' where id = ${POSTING}`,
      [BLOCK],
    ],
    ['the key of a posting', `update ledger.transaction set key = key || 'x' where id = ${POSTING}`, [BLOCK, SLOT]],
    ['the code of a posting', `update ledger.transaction set provider_code = 'OTHER' where id = ${POSTING}`, [BLOCK]],
    [
      'the deposit of a posting',
      `update ledger.transaction set deposit = 'other' where id = ${POSTING}`,
      [BLOCK, SLOT],
    ],
    [
      'the wallet of a posting',
      `update ledger.transaction set credit_code = 'wallet:other' where id = ${POSTING}`,
      [BLOCK, ENTRY],
    ],
    ['the price of a posting', `update ledger.transaction set fiat_amount = 1 where id = ${POSTING}`, [BLOCK]],
    ['the unit price of a posting', `update ledger.transaction set unit_price = 1 where id = ${POSTING}`, [BLOCK]],
    ['the currency of a posting', `update ledger.transaction set fiat = 'TWD' where id = ${POSTING}`, [BLOCK]],
    ['the workflow of a posting', `update ledger.transaction set workflow_id = 'other' where id = ${POSTING}`, [BLOCK]],
    ['a decider written in', `update ledger.transaction set actor = 'mallory' where id = ${POSTING}`, [BLOCK]],
    ['a reason written in', `update ledger.transaction set reason = 'because' where id = ${POSTING}`, [BLOCK]],
    ['the kind of a posting', `update ledger.transaction set kind = 'credit' where id = ${PARKED}`, [BLOCK]],
    [
      'the amount of an entry',
      `update ledger.entry set amount = amount + 1 where transaction_id = ${POSTING} and line = 1`,
      [BALANCE, ENTRY, SUM],
    ],
    [
      'the amounts of both entries',
      `update ledger.entry set amount = amount * 2 where transaction_id = ${POSTING}`,
      [BALANCE, ENTRY],
    ],
    [
      'the account of an entry',
      `update ledger.entry set account_id = (select account_id from ledger.entry where transaction_id = ${LAST} and line = 2) where transaction_id = ${POSTING} and line = 2`,
      [BALANCE, ENTRY],
    ],
    ['the code of an account', `update ledger.account set code = 'wallet:mallory' where id = ${WALLET}`, [ENTRY]],
    ['a balance', `update ledger.balance set amount = amount - 1 where account_id = ${WALLET}`, [BALANCE, ZERO]],
    [
      'two balances against each other',
      `update ledger.balance set amount = amount - 1 where account_id = ${WALLET};
       update ledger.balance set amount = amount + 1 where account_id = (select id from ledger.account where code = 'clearing:mtpay')`,
      [BALANCE],
    ],
    [
      'the count of a balance',
      `update ledger.balance set entries = entries + 1 where account_id = ${WALLET}`,
      [BALANCE],
    ],
    ['a balance taken out', `delete from ledger.balance where account_id = ${WALLET}`, [BALANCE, ZERO]],
    ['a posting taken out', `delete from ledger.transaction where id = ${POSTING}`, [BLOCK, ENTRY, MEMBERS, SLOT]],
    ['a posting taken out with all it moved', WITHOUT(POSTING), [BLOCK, MEMBERS]],
    ['a parked posting taken out with all it moved', WITHOUT(PARKED), [BLOCK, MEMBERS]],
    ['a posting taken out with all but its slot', WITHOUT(POSTING).replace(/^delete.*?;/, ''), [BLOCK, MEMBERS, SLOT]],
    ['a posting added', NEW, [ENTRY, MEMBERS, SLOT]],
    ['a posting added with all it moves', NEW_WHOLE, [MEMBERS]],
    [
      'the entries of a posting taken out',
      `delete from ledger.entry where transaction_id = ${POSTING}`,
      [BALANCE, ENTRY],
    ],
    [
      'one entry taken out',
      `delete from ledger.entry where transaction_id = ${POSTING} and line = 2`,
      [BALANCE, ENTRY, SUM],
    ],
    [
      'a pair of entries added',
      `insert into ledger.entry select transaction_id, line + 10, account_id, amount from ledger.entry where transaction_id = ${POSTING}`,
      [BALANCE, ENTRY],
    ],
    [
      'the suspense account renamed',
      `update ledger.account set code = 'suspense:other' where code = 'suspense:mtpay'`,
      [ENTRY, SUSPENSE],
    ],
    [
      'a slot taken out',
      `delete from ledger.slot where key = (select key from ledger.transaction where id = ${POSTING})`,
      [SLOT],
    ],
    [
      'a slot given to another posting',
      `update ledger.slot set key = 'after:0' where key = (select key from ledger.transaction where id = ${POSTING})`,
      [SLOT],
    ],
    ['a slot of a deposit that has nothing', `insert into ledger.slot values ('d-nothing', 'after:0')`, [SLOT]],
    ['a lineage of what continues nothing', `insert into ledger.lineage values (${LAST}, ${POSTING})`, [LINEAGE]],
    ['the time of a block', `update ledger.block set at = at + interval '1 second' where n = 2`, [BLOCK]],
    ['the hash of a block', `update ledger.block set hash = sha256('x') where n = 2`, [BLOCK]],
    ['a member taken out of a block', `update ledger.block set members = members[2:] where n = 1`, [BLOCK, MEMBERS]],
    ['a member in two blocks', `update ledger.block set members = members || ${POSTING} where n = 2`, [BLOCK, MEMBERS]],
    ['the first block', `update ledger.block set hash = sha256('another genesis') where n = 0`, [BLOCK]],
    ['a block taken out of the middle', 'delete from ledger.block where n = 2', [BLOCK, MEMBERS]],
    ['the first block taken out', 'delete from ledger.block where n = 0', [BLOCK]],
    ['the last block taken out', 'delete from ledger.block where n = 4', [MEMBERS]],
    [
      'the members of two blocks exchanged',
      `update ledger.block b set members = (select members from ledger.block o where o.n = 6 - b.n) where n in (2, 4)`,
      [BLOCK],
    ],
    [
      'a posting changed and its block sealed again',
      `update ledger.transaction set workflow_id = 'other' where id = ${POSTING};
       update ledger.block set hash = ledger.seal(n, prev, at, ledger.content(members)) where n = 1`,
      [BLOCK],
    ],
  ])('%s', async (_, sql, faults) => {
    const found = await tampered(sql);
    expect(found.faults).toEqual(faults.toSorted());
    // The chain alone detects every posting or block that differs from its seal.
    expect(found.broken.length > 0).toBe(faults.includes(BLOCK));
  });

  it.each<[string, string, readonly string[]]>([
    [
      'the root of a posting',
      `update ledger.lineage set root = ${POSTING} where transaction_id = ${RELEASE}`,
      [LINEAGE],
    ],
    ['a lineage taken out', `delete from ledger.lineage where transaction_id = ${RELEASE}`, [LINEAGE]],
    [
      'what a posting continues',
      `update ledger.transaction set origin = ${POSTING} where id = ${RELEASE}`,
      [BLOCK, LINEAGE, SLOT, SUSPENSE],
    ],
    [
      'what a posting stands beside',
      `update ledger.transaction set beside = ${POSTING} where id = ${RELEASE}`,
      [BLOCK],
    ],
    [
      'what of it stayed in suspense',
      `update ledger.transaction set rest = 1 where id = ${RELEASE}`,
      [BLOCK, ENTRY, SUSPENSE],
    ],
    ['who decided', `update ledger.transaction set actor = 'mallory' where id = ${RELEASE}`, [BLOCK]],
    ['why it was decided', `update ledger.transaction set reason = 'otherwise' where id = ${RELEASE}`, [BLOCK]],
  ])('of what people have moved: %s', async (_, sql, faults) => {
    const found = await tampered(sql, RELEASED);
    expect(found.faults).toEqual(faults.toSorted());
    expect(found.broken).toEqual(faults.includes(BLOCK) ? ['5'] : []);
  });

  it('where it was made: the chain names the block', async () => {
    const second = `update ledger.transaction set workflow_id = 'other' where id = (select members[1] from ledger.block where n = 3)`;
    expect((await tampered(second)).broken).toEqual(['3']);
    expect((await tampered('delete from ledger.block where n = 2')).broken).toEqual(['3']);
  });
});

describe('what the books alone cannot show', () => {
  it('is a tail cut off with all it moved: only a head that was kept outside says so', async () => {
    const { rows } = await auditor.query('select n, hash from ledger.block order by n desc limit 1');
    const client = await db.owner.connect();
    try {
      await client.query('begin; set local session_replication_role = replica');
      await client.query(`${WITHOUT(LAST)}; delete from ledger.block where n = 4`);
      expect(await faultsOf(client)).toEqual([]);
      expect(await brokenBlocks(client)).toEqual([]);
      const after = await client.query('select n, hash from ledger.block order by n desc limit 1');
      expect(after.rows).not.toEqual(rows);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});

it('untouched books are clean', async () => {
  expect((await auditor.query('select from ledger.block')).rowCount).toBe(5);
  await expectCleanBooks(auditor);
});
