import type pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { countAttempt, findCallback } from '../../database/queries/callbacks.ts';
import { markReviewed } from '../support/inbox.ts';
import { openDepositCase } from '../../database/queries/cases.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import { createPool, inTransaction } from '../../database/pool.ts';
import { type CreditOutcome, type CreditItem, createCreditor, creditAll } from '../../ledger/credit.ts';
import { readWallet } from '../../ledger/read.ts';
import { orderNumber, paid, transactionCode } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import {
  balanceOf,
  call,
  creditUntilFree,
  expectCleanBooks,
  facts,
  itemFor,
  newWallet,
  type Payment,
  payment,
  payments,
  postingsOf,
  received,
  reserved,
  lockDeposit,
} from './payments.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const auditor = db.poolFor('auditor');

const outcomes = (answers: readonly { readonly outcome: string }[]) => {
  const count: Record<string, number> = {};
  for (const { outcome } of answers) count[outcome] = (count[outcome] ?? 0) + 1;
  return count;
};
const wallet = (of: Payment) => readWallet(auditor, of.order.wallet);
const outgoing = async (deposit: string) =>
  (await db.owner.query('select id, kind, body from engine.outgoing where external_order_number = $1', [deposit])).rows;
/** What of a deposit a posting changes. */
async function standing({ order, inboxId }: Payment) {
  const deposit = await findDeposit(db.owner, order.externalOrderNumber);
  const callback = await findCallback(db.owner, inboxId);
  const told = await outgoing(order.externalOrderNumber);
  return {
    state: deposit!.state,
    late: deposit!.late,
    postingId: deposit!.postingId,
    closedAt: deposit!.closedAt?.toISOString() ?? null,
    outcome: callback!.outcome,
    told: told.length,
  };
}
const UNTOUCHED = { state: 'AWAITING_PAYMENT', late: false, postingId: null, closedAt: null, outcome: null, told: 0 };

describe('a credit', () => {
  it('moves the amount into the wallet and shows it, all in one statement', async () => {
    const one = await payment(db.owner);
    const [answer] = await creditAll(worker, [one.item]);
    expect(answer).toEqual({
      outcome: 'posted',
      postingId: expect.stringMatching(/^\d+$/),
      postedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(await standing(one)).toEqual({
      state: 'CREDITED',
      late: false,
      postingId: answer!.postingId,
      closedAt: answer!.postedAt,
      outcome: `posting:${answer!.postingId}`,
      told: 1,
    });
    expect(await wallet(one)).toEqual({
      wallet: one.order.wallet,
      balance: '5000',
      postings: [
        {
          postingId: answer!.postingId,
          kind: 'credit',
          externalOrderNumber: one.order.externalOrderNumber,
          transactionCode: one.data.transactionCode,
          amount: '5000',
          postedAt: answer!.postedAt,
        },
      ],
    });
  });

  it('tells the outside once, without a word on who paid', async () => {
    const one = await payment(db.owner, { data: { transactionAmount: '4521', paymentPrice: '32551.2' } });
    const [answer] = await creditAll(worker, [one.item]);
    await creditAll(worker, [one.item]);
    expect(await outgoing(one.order.externalOrderNumber)).toEqual([
      {
        id: await tellingOf(answer!.postingId!),
        kind: 'deposit.credited',
        body: {
          externalOrderNumber: one.order.externalOrderNumber,
          wallet: one.order.wallet,
          amount: '4521',
          transactionCode: one.data.transactionCode,
          postingId: answer!.postingId,
          late: false,
          creditedAt: expect.any(String),
        },
      },
    ]);
  });

  /** Ids of postings are given out again after a restore: the time stands in the name of what was told. */
  async function tellingOf(postingId: string): Promise<string> {
    const { rows } = await auditor.query<{ us: string }>(
      'select (extract(epoch from posted_at) * 1000000)::bigint as us from ledger.transaction where id = $1',
      [postingId],
    );
    return `deposit.credited:${postingId}:${rows[0]!.us}`;
  }

  it('keeps every decimal, and the price rounded down at the eighth', async () => {
    const data = { transactionAmount: '12.82051283', paymentPrice: '100' };
    const one = await payment(db.owner, { order: { currencyCode: 'HKD' }, data });
    await creditAll(worker, [one.item]);
    const { rows } = await auditor.query(
      'select amount, fee, fiat, fiat_amount, unit_price from ledger.transaction where deposit = $1',
      [one.order.externalOrderNumber],
    );
    // 100 / 12.82051283 = 7.79999999376…
    expect(rows).toEqual([
      { amount: '12.82051283', fee: '0', fiat: 'HKD', fiat_amount: '100', unit_price: '7.79999999' },
    ]);
    expect(await balanceOf(auditor, `wallet:${one.order.wallet}`)).toBe('-12.82051283');
  });

  it('that came late is flagged on the deposit', async () => {
    const one = await payment(db.owner);
    await creditAll(worker, [{ ...one.item, late: true }]);
    expect(await standing(one)).toMatchObject({ state: 'CREDITED', late: true });
  });

  it('adds up in a wallet over several deposits', async () => {
    const account = newWallet();
    const some = await payments(db.owner, 3, { order: { wallet: account } });
    for (const one of some) await creditAll(worker, [one.item]);
    expect((await readWallet(auditor, account)).balance).toBe('15000');
    expect((await readWallet(auditor, account)).postings).toHaveLength(3);
    const newest = some.map((one) => one.order.externalOrderNumber).toReversed();
    expect((await readWallet(auditor, account, 2)).postings.map((one) => one.externalOrderNumber)).toEqual(
      newest.slice(0, 2),
    );
  });

  it('is of a wallet that exists from then on; before, it holds nothing', async () => {
    expect(await readWallet(auditor, newWallet())).toMatchObject({ balance: '0', postings: [] });
  });
});

describe('a repeated credit', () => {
  it('answers duplicate with the same posting and moves nothing', async () => {
    const one = await payment(db.owner);
    const [first] = await creditAll(worker, [one.item]);
    const before = await standing(one);
    expect(await creditAll(worker, [one.item])).toEqual([{ ...first, outcome: 'duplicate' }]);
    expect(await standing(one)).toEqual(before);
    expect(await wallet(one)).toMatchObject({ balance: '5000', postings: [{ amount: '5000' }] });
  });

  it('from another workflow is the same credit', async () => {
    const one = await payment(db.owner);
    const [first] = await creditAll(worker, [one.item]);
    const again = await creditAll(worker, [{ ...one.item, workflowId: 'deposit:another' }]);
    expect(again).toEqual([{ ...first, outcome: 'duplicate' }]);
  });

  it('in the same batch is posted once', async () => {
    const one = await payment(db.owner);
    const answers = await creditAll(worker, [one.item, one.item, one.item]);
    expect(outcomes(answers)).toEqual({ posted: 1, duplicate: 2 });
    expect(new Set(answers.map((answer) => answer.postingId)).size).toBe(1);
    expect(await standing(one)).toMatchObject({ state: 'CREDITED', told: 1 });
  });

  it('mends what should show the posting and does not', async () => {
    const one = await payment(db.owner);
    const [first] = await creditAll(worker, [one.item]);
    const before = await standing(one);
    await byHand(
      db.owner,
      `update engine.deposit set state = 'AWAITING_PAYMENT', posting_id = null, closed_at = null where external_order_number = $1`,
      [one.order.externalOrderNumber],
    );
    await byHand(db.owner, 'update engine.callback set outcome = null where id = $1', [one.inboxId]);
    await byHand(db.owner, 'delete from engine.outgoing where external_order_number = $1', [
      one.order.externalOrderNumber,
    ]);
    expect(await standing(one)).toEqual(UNTOUCHED);
    expect(await creditAll(worker, [one.item])).toEqual([{ ...first, outcome: 'duplicate' }]);
    expect(await standing(one)).toEqual(before);
  });

  it('a hundred times at once through the batcher is posted once', async () => {
    const one = await payment(db.owner);
    const credit = createCreditor(worker, { max: 7 });
    const answers = await Promise.all(Array.from({ length: 100 }, () => credit(one.item)));
    await credit.drain();
    expectOnce(answers, one);
    expect(await wallet(one)).toMatchObject({ balance: '5000', postings: [{ amount: '5000' }] });
  });

  it('a hundred times at once on connections of their own is posted once', async () => {
    const one = await payment(db.owner);
    const answers = await Promise.all(Array.from({ length: 100 }, () => creditUntilFree(worker, [one.item])));
    expectOnce(answers.flat(), one);
    expect(await wallet(one)).toMatchObject({ balance: '5000', postings: [{ amount: '5000' }] });
    expect(await standing(one)).toMatchObject({ state: 'CREDITED', told: 1 });
  });

  function expectOnce(answers: readonly CreditOutcome[], one: Payment) {
    expect(outcomes(answers)).toEqual({ posted: 1, duplicate: 99 });
    expect(new Set(answers.map((answer) => `${answer.postingId} ${answer.postedAt}`)).size).toBe(1);
    expect(answers[0]!.postingId).toMatch(/^\d+$/);
    expect(one.item.deposit).toBe(one.order.externalOrderNumber);
  }

  it('among many others, shuffled over many connections, is posted once each', async () => {
    const some = await payments(db.owner, 40);
    const work = Array.from({ length: 5 }, () => some.map((one) => one.item)).flat();
    for (let i = work.length - 1; i > 0; i -= 1) {
      const j = Math.floor(Math.random() * (i + 1));
      [work[i], work[j]] = [work[j]!, work[i]!];
    }
    const batches = Array.from({ length: 20 }, (_, i) => work.slice(i * 10, i * 10 + 10));
    const answers = (await Promise.all(batches.map((batch) => creditUntilFree(worker, batch)))).flat();
    expect(outcomes(answers)).toEqual({ posted: 40, duplicate: 160 });
    for (const one of some) expect(await standing(one)).toMatchObject({ state: 'CREDITED', told: 1 });
  });
});

describe('another payment', () => {
  it('for the same deposit is not proven: one payment is bound, and the second is not it', async () => {
    const one = await payment(db.owner);
    const second = paid(one.order);
    const inboxId = await inTransaction(db.owner, (client) =>
      received(client, second, { receipt: 'other_content', bound: false }),
    );
    const answers = await Promise.all([
      ...Array.from({ length: 25 }, () => creditUntilFree(worker, [one.item])),
      ...Array.from({ length: 25 }, () => creditUntilFree(worker, [itemFor(one.order, inboxId, second)])),
    ]);
    expect(outcomes(answers.flat())).toEqual({ posted: 1, duplicate: 24, unproven: 25 });
    expect(await postingsOf(auditor, one.order.externalOrderNumber)).toMatchObject([
      { provider_code: one.data.transactionCode },
    ]);
  });

  it('for the same deposit is a conflict in the ledger itself, fifty at once: one posting', async () => {
    const one = await payment(db.owner);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        call(db.owner, 'credit', [facts(one.item, { provider_code: `${one.data.transactionCode}-${i % 2}` })]),
      ),
    );
    expect(outcomes(answers.flat())).toEqual({ posted: 1, duplicate: 24, conflict: 25 });
    expect(await postingsOf(auditor, one.order.externalOrderNumber)).toHaveLength(1);
    expect(await wallet(one)).toMatchObject({ balance: '5000' });
  });

  it('for the same deposit under another key is a conflict: a machine credits a deposit once', async () => {
    const one = await payment(db.owner);
    await creditAll(worker, [one.item]);
    const other = facts(one.item, { key: `deposit:${one.item.deposit}:again`, provider_code: transactionCode() });
    expect(await call(db.owner, 'credit', [other])).toMatchObject([{ outcome: 'conflict' }]);
    expect(await wallet(one)).toMatchObject({ balance: '5000' });
  });

  it('with the same code, for another deposit, is a conflict: the first keeps it, the second stays as it was', async () => {
    const one = await payment(db.owner);
    const two = await payment(db.owner, { data: { transactionCode: one.data.transactionCode } });
    const [first] = await creditAll(worker, [one.item]);
    expect(await creditAll(worker, [two.item])).toEqual([{ ...first, outcome: 'conflict' }]);
    expect(await standing(two)).toEqual(UNTOUCHED);
    expect(await wallet(two)).toMatchObject({ balance: '0', postings: [] });
    expect(await wallet(one)).toMatchObject({ balance: '5000' });
  });

  it('with the same code in the same batch is a conflict for one of them, and the rest is posted', async () => {
    const shared = transactionCode();
    const rivals = await payments(db.owner, 2, { data: { transactionCode: shared } });
    const others = await payments(db.owner, 3);
    const items = [others[0]!, rivals[0]!, others[1]!, rivals[1]!, others[2]!].map((one) => one.item);
    const answers = await creditAll(worker, items);
    expect(outcomes(answers)).toEqual({ posted: 4, conflict: 1 });
    const lost = answers.findIndex((answer) => answer.outcome === 'conflict');
    expect(await standing(rivals[lost === 1 ? 0 : 1]!)).toEqual(UNTOUCHED);
    expect(await standing(rivals[lost === 1 ? 1 : 0]!)).toMatchObject({ state: 'CREDITED' });
  });

  it('with the same code for two deposits, fifty at once, is posted for one of them', async () => {
    const shared = transactionCode();
    const rivals = await payments(db.owner, 2, { data: { transactionCode: shared } });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => creditUntilFree(worker, [rivals[i % 2]!.item])),
    );
    expect(outcomes(answers.flat())).toEqual({ posted: 1, duplicate: 24, conflict: 25 });
    const states = await Promise.all(rivals.map((one) => standing(one)));
    expect(states.map((state) => state.state).toSorted()).toEqual(['AWAITING_PAYMENT', 'CREDITED']);
  });
});

describe('the same key with another fact', () => {
  it.each([
    ['amount', { amount: '5001' }],
    ['fee', { fee: '1' }],
    ['wallet', { wallet: 'another' }],
    ['code', { provider_code: 'ANOTHER' }],
    ['currency', { fiat: 'HKD' }],
    ['price', { fiat_amount: '36000.01' }],
    ['unit price', { unit_price: '7.3' }],
  ])('is a conflict that names the posting that stands, and moves nothing: %s', async (_, change) => {
    const one = await payment(db.owner);
    const [posted] = await call(db.owner, 'credit', [facts(one.item)]);
    expect(await call(db.owner, 'credit', [facts(one.item, change)])).toEqual([
      { outcome: 'conflict', id: posted!.id },
    ]);
    expect(await call(db.owner, 'credit', [facts(one.item)])).toEqual([{ outcome: 'duplicate', id: posted!.id }]);
    expect(await wallet(one)).toMatchObject({ balance: '5000', postings: [{ postingId: posted!.id }] });
  });

  it('in the same batch is a conflict: the first of them is posted', async () => {
    const one = await payment(db.owner);
    const answers = await call(db.owner, 'credit', [facts(one.item), facts(one.item, { amount: '5001' })]);
    expect(answers).toMatchObject([{ outcome: 'posted' }, { outcome: 'conflict' }]);
    expect(await wallet(one)).toMatchObject({ balance: '5000' });
  });
});

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
  /** As the worker writes it down when the judge has given the payment to people, and as their decision leaves it. */
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

describe('the statement', () => {
  it('leaves a callback that already has an outcome with that one', async () => {
    const one = await payment(db.owner);
    await db.owner.query(`update engine.callback set outcome = 'posting:1' where id = $1`, [one.inboxId]);
    const [answer] = await creditAll(worker, [one.item]);
    expect(answer).toMatchObject({ outcome: 'posted' });
    expect(answer!.postingId).not.toBe('1');
    expect(await standing(one)).toMatchObject({ state: 'CREDITED', outcome: 'posting:1' });
  });

  it.each<[string, (client: pg.ClientBase, one: Payment) => Promise<unknown>]>([
    ['deposit', (client, one) => lockDeposit(client, one.order.externalOrderNumber)],
    ['callback, while a repeat is counted', (client, one) => countAttempt(client, one.inboxId)],
  ])(
    'waits for no row: an item is busy while somebody holds its %s, and the one beside it is posted',
    async (_, hold) => {
      const [one, beside] = (await payments(db.owner, 2)) as [Payment, Payment];
      await inTransaction(db.owner, async (client) => {
        await hold(client, one);
        expect(await creditAll(await impatient(), [one.item, beside.item])).toEqual([
          { outcome: 'busy', postingId: null, postedAt: null },
          { outcome: 'posted', postingId: expect.any(String), postedAt: expect.any(String) },
        ]);
      });
      expect(await standing(one)).toEqual(UNTOUCHED);
      expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
      expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'posted' }]);
    },
  );

  it('stands in the way of no message that comes meanwhile, and none stands in its way', async () => {
    const one = await payment(db.owner);
    await inTransaction(db.owner, async (client) => {
      await received(client, paid(one.order), { receipt: 'other_content', bound: false });
      expect(await creditAll(await impatient(), [one.item])).toMatchObject([{ outcome: 'posted' }]);
    });
  });

  it('keeps nobody waiting behind a row that is held: a lane of batches with such an item posts all the others', async () => {
    const held = await payment(db.owner);
    const others = await payments(db.owner, 50);
    await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, held.order.externalOrderNumber);
      const credit = createCreditor(await impatient(), { lanes: 1, max: 5 });
      const waiting = credit(held.item);
      const answers = await Promise.all(others.map((one) => credit(one.item)));
      expect(outcomes(answers)).toEqual({ posted: others.length });
      expect(await waiting).toMatchObject({ outcome: 'busy' });
    });
  });

  it('is tried again for a moment: a row that is let go meanwhile is no answer at all', async () => {
    const one = await payment(db.owner);
    const credit = createCreditor(worker);
    const asked = await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, one.order.externalOrderNumber);
      const answer = credit(one.item);
      await credit.drain();
      return { answer };
    });
    expect(await asked.answer).toMatchObject({ outcome: 'posted' });
  });

  /** A worker that would rather fail than wait for a row. */
  async function impatient(): Promise<pg.Pool> {
    const pool = createPool({ url: db.urlFor('app_worker'), applicationName: 'test', max: 1 });
    onTestFinished(() => pool.end());
    await pool.query(`set lock_timeout = '500ms'`);
    return pool;
  }

  it('posts nothing when the rest of it fails, and everything when it is repeated', async () => {
    const [one, other] = (await payments(db.owner, 2)) as [Payment, Payment];
    await db.owner.query(
      `create function engine.fail() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '53100'; end $$;
       create trigger fail before insert on engine.outgoing for each row when (new.external_order_number = '${one.item.deposit}') execute function engine.fail()`,
    );
    await expect(creditAll(worker, [one.item, other.item])).rejects.toMatchObject({ code: '53100' });
    for (const each of [one, other]) {
      expect(await standing(each)).toEqual(UNTOUCHED);
      expect(await postingsOf(auditor, each.item.deposit)).toEqual([]);
      expect(await wallet(each)).toMatchObject({ balance: '0', postings: [] });
    }
    await db.owner.query('drop function engine.fail cascade');
    expect(outcomes(await creditAll(worker, [one.item, other.item]))).toEqual({ posted: 2 });
  });

  it('answers nothing to nothing', async () => {
    expect(await creditAll(worker, [])).toEqual([]);
  });
});

describe('the books, after all of this', () => {
  it('are whole', () => expectCleanBooks(auditor));

  it('owe every wallet what the provider says it released', async () => {
    const { rows } = await auditor.query<{ account: string; sum: string }>(
      `select split_part(code, ':', 1) as account, sum(kept)::text as sum from ledger.trial_balance group by 1 order by 1`,
    );
    const sum = Object.fromEntries(rows.map((row) => [row.account, Number(row.sum)]));
    expect(sum['clearing']).toBeGreaterThan(0);
    expect(sum).toEqual({ clearing: sum['clearing'], wallet: -sum['clearing']!, fees: 0, suspense: 0 });
  });
});
