import { describe, expect, it } from 'vitest';
import { openDepositCase } from '../../database/queries/cases.ts';
import { inTransaction } from '../../database/pool.ts';
import { type CreditItem, createCreditor, creditAll } from '../../ledger/credit.ts';
import { orderNumber, paid, transactionCode } from '../support/builders.ts';
import { byHand } from '../support/database.ts';
import { markReviewed } from '../support/messages/inbox.ts';
import { UNTOUCHED, creditBooks } from './credits.ts';
import { itemFor, type Payment, payment, payments, postingsOf, received, reserved } from './payments.ts';

const { db, worker, auditor, wallet, standing, expectPaidIsOwed } = await creditBooks();

/** Ways in which an item can differ from what the inbox and the deposit hold. */
const UNPROVEN: readonly [string, (one: Payment, other: Payment) => CreditItem | Promise<CreditItem>][] = [
  ['a larger amount', ({ item }) => ({ ...item, amount: '5000.00000001' })],
  ['a smaller amount', ({ item }) => ({ ...item, amount: '4999.99999999' })],
  ['another currency', ({ item }) => ({ ...item, currencyCode: 'HKD' })],
  ['another price', ({ item }) => ({ ...item, paymentPrice: '36000.01' })],
  ['another wallet', ({ item }) => ({ ...item, wallet: 'wallet-of-another' })],
  ['another code', ({ item }) => ({ ...item, transactionCode: transactionCode() })],
  ['the callback of another deposit', ({ item }, other) => ({ ...item, inboxId: other.inboxId })],
  ['another deposit', ({ item }, other) => ({ ...item, deposit: other.item.deposit, wallet: other.item.wallet })],
  ['a deposit that is not there', ({ item }) => ({ ...item, deposit: orderNumber() })],
  ['a callback that is not there', ({ item }) => ({ ...item, inboxId: '9000000000' })],
  [
    'a callback that is not bound',
    async () =>
      inTransaction(db.owner, async (client) => {
        const asked = await reserved(client);
        const data = paid(asked);
        return itemFor(asked, await received(client, data, { receipt: 'first', bound: false }), data);
      }),
  ],
  [
    'a bound callback that is not the first',
    async () =>
      inTransaction(db.owner, async (client) => {
        const asked = await reserved(client);
        const data = paid(asked);
        return itemFor(asked, await received(client, data, { receipt: 'other_content', bound: true }), data);
      }),
  ],
];

describe('an item that the inbox does not prove', () => {
  it.each(UNPROVEN)('posts nothing and changes nothing, and the item beside it is posted: %s', async (_, bad) => {
    const [one, other, beside] = (await payments(db.owner, 3)) as [Payment, Payment, Payment];
    const item = await bad(one, other);
    expect(await creditAll(worker, [item, beside.item])).toEqual([
      { outcome: 'unproven', postingId: null, postedAt: null },
      { outcome: 'posted', postingId: expect.any(String), postedAt: expect.any(String) },
    ]);
    expect(await creditAll(worker, [item])).toMatchObject([{ outcome: 'unproven' }]);
    expect(await standing(one)).toEqual(UNTOUCHED);
    expect(await standing(other)).toEqual(UNTOUCHED);
    for (const untouched of [one, other]) expect(await wallet(untouched)).toMatchObject({ balance: '0' });
    expect(await postingsOf(auditor, item.deposit)).toEqual([]);
    expect(await standing(beside)).toMatchObject({ state: 'CREDITED' });
  });

  it('does not disturb the rest of two hundred, whose answers stay in order', async () => {
    const good = await payments(db.owner, 200 - UNPROVEN.length);
    const spare = (await payments(db.owner, 2)) as [Payment, Payment];
    const bad = await Promise.all(UNPROVEN.map(async ([, make]) => make(...spare)));
    const items = good.map((one) => one.item);
    for (const [i, item] of bad.entries()) items.splice(i * 16, 0, item);
    const credit = createCreditor(worker);
    const answers = await Promise.all(items.map((item) => credit(item)));
    for (const [i, answer] of answers.entries()) {
      expect(answer.outcome, `item ${i}`).toBe(bad.includes(items[i]!) ? 'unproven' : 'posted');
    }
    for (const one of good) {
      const answer = answers[items.indexOf(one.item)]!;
      expect(await postingsOf(auditor, one.item.deposit)).toMatchObject([{ id: answer.postingId }]);
    }
  });
});

describe('a payment that people have in hand', () => {
  /** As the worker stores it when the judge refuses the payment, and as the operators' decision leaves it. */
  const inHand = ({ order, inboxId }: Payment, state: string) =>
    inTransaction(db.owner, async (client) => {
      await openDepositCase(client, { inboxId, reason: 'AMOUNT_MISMATCH', late: false });
      await client.query('update engine.deposit set state = $2 where external_order_number = $1', [
        order.externalOrderNumber,
        state,
      ]);
    });

  it.each(['IN_REVIEW', 'REJECTED'])('is not credited by a machine, whoever asks: %s', async (state) => {
    const [one, beside] = (await payments(db.owner, 2)) as [Payment, Payment];
    await inHand(one, state);
    const before = await standing(one);
    expect(await creditAll(worker, [one.item, beside.item])).toMatchObject([
      { outcome: 'unproven', postingId: null },
      { outcome: 'posted' },
    ]);
    expect(await standing(one)).toEqual(before);
    expect(before).toMatchObject({ state, postingId: null, told: 0 });
    expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
    expect(await wallet(one)).toMatchObject({ balance: '0' });
  });

  it.each(['IN_REVIEW', 'REJECTED'])('is told by the deposit’s state alone: %s', async (state) => {
    const one = await payment(db.owner);
    await inHand(one, state);
    await byHand(db.owner, 'update engine.callback set outcome = null where id = $1', [one.inboxId]);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'unproven' }]);
    expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
  });

  it('is told by the callback alone: its case is one of its own, because the deposit’s workflow is gone', async () => {
    const one = await payment(db.owner);
    await markReviewed(db.owner, one.inboxId, `review:${one.inboxId}`);
    expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'unproven' }]);
    expect(await standing(one)).toEqual({ ...UNTOUCHED, outcome: `review:review:${one.inboxId}` });
    expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
  });
});

describe('an item that cannot be posted', () => {
  it('does not disturb the others of its batch', async () => {
    const good = await payments(db.owner, 20);
    // Proven by the inbox, and yet refused by the ledger: its price, rounded down, is nothing.
    const free = await payment(db.owner, { data: { transactionAmount: '9999999999999', paymentPrice: '0.01' } });
    await byHand(
      db.owner,
      `update engine.deposit set settings = settings || '{"rateBands": {"CNY": {"from": "0", "to": "1"}}}' where external_order_number = $1`,
      [free.item.deposit],
    );
    const items = [...good, free].map((one) => one.item);
    // Refused before it is queued: it makes no price at all.
    items.splice(7, 0, { ...free.item, amount: 'NaN' });
    const credit = createCreditor(worker);
    const answers = await Promise.allSettled(items.map((item) => credit(item)));
    expect(answers.filter((answer) => answer.status === 'rejected').map((answer) => answer.reason as unknown)).toEqual([
      new RangeError('transactionAmount: not a decimal number'),
      expect.objectContaining({ code: '23514' }),
    ]);
    for (const one of good) expect(await standing(one)).toMatchObject({ state: 'CREDITED' });
    expect(await standing(free)).toEqual(UNTOUCHED);
  });
});

it('the books, after all of this, are whole and owe every wallet what the provider says it released', expectPaidIsOwed);
