import { expect, test } from 'vitest';
import { POSTING_LINE } from '../../../archive/posting-line.ts';
import { checkLedger } from '../../../audit/tables/books.ts';
import { LEGS, NEWEST_STANDING, SUSPENSE_OPEN, TRIAL_BALANCE } from '../../../audit/tables/ledger-formulas.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { createTestDatabase } from '../../support/database.ts';
import { call, facts, payments } from '../../ledger/payments.ts';

/** The audit's own formulas agree with the database's functions and views, as long as those are untouched. */
const db = await createTestDatabase();
const [a, b, c, d] = (await payments(db.owner, 4)).map((one) => one.item);
await creditAll(db.poolFor('app_worker'), [a!, b!]);
await call(db.owner, 'park', [facts(c!, { key: 'suspense:c' })]);
await call(db.owner, 'park', [facts(d!, { key: 'suspense:d' })]);
const PARKED = (code: string) => `(select id from ledger.transaction where key = 'suspense:${code}')`;
// One release keeps a rest in suspense, another goes beside it; one is reversed with its neighbor, and one is given
// back.
await db.owner.query(`
  select ledger.release('after:1', ${PARKED('c')}, 'd-1', 'w-1', 0, 'review:1', 'alice+bob', 'a | b
    with “signs”', null, 1);
  select ledger.reverse('after:2', (select id from ledger.transaction where key = 'after:1'), true, 'review:1', 'alice+bob', 'because');
  select ledger.give_back('after:3', ${PARKED('d')}, 'review:2', 'alice', 'it was recalled');
  update engine.deposit set closed_at = clock_timestamp() where external_order_number = '${d!.deposit}'`);

/** Rows that only one of the two has. */
const differs = async (ours: string, theirs: string) =>
  (await db.owner.query(`(${ours} except all ${theirs}) union all (${theirs} except all ${ours})`)).rows;

test.each([
  [
    'lines to hash',
    `select t.id, ${POSTING_LINE} from ledger.transaction t`,
    `select t.id, ledger.line(t) from ledger.transaction t`,
  ],
  [
    'legs',
    `select t.id, l.line, l.code, l.amount from ledger.transaction t cross join lateral ${LEGS} where l.amount <> 0`,
    `select t.id, l.line::int, l.code, l.amount from ledger.transaction t cross join lateral ledger.legs(t) l`,
  ],
  [
    'balances',
    `select code, asset, kept, summed, kept_entries, entries from ${TRIAL_BALANCE} b`,
    `select code, asset, kept, summed, kept_entries, entries from ledger.trial_balance`,
  ],
  [
    'open suspense',
    `select id, provider, amount from ${SUSPENSE_OPEN} o`,
    `select id, provider, amount from ledger.suspense_open`,
  ],
  [
    'payments that stand',
    `select deposit::text, key::text from ${NEWEST_STANDING} n`,
    `select deposit::text, key::text from ledger.slot`,
  ],
])('%s', async (_, ours, theirs) => {
  expect((await db.owner.query(ours)).rowCount).toBeGreaterThan(0);
  expect(await differs(ours, theirs)).toEqual([]);
});

test('of such books nothing is wrong', async () => {
  const auditor = await db.poolFor('auditor').connect();
  try {
    expect(await checkLedger(auditor)).toEqual([]);
  } finally {
    auditor.release();
  }
});
