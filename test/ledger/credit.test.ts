import { describe, expect, it } from 'vitest';
import { inTransaction } from '../../database/pool.ts';
import { type CreditOutcome, createCreditor, creditAll } from '../../ledger/credit.ts';
import { readWallet } from '../../ledger/read.ts';
import { paid, transactionCode } from '../support/builders.ts';
import { byHand } from '../support/database.ts';
import { UNTOUCHED, creditBooks, outcomes, shown } from './credits.ts';
import {
  balanceOf,
  call,
  creditUntilFree,
  facts,
  itemFor,
  newWallet,
  type Payment,
  payment,
  payments,
  postingsOf,
  received,
} from './payments.ts';

const { db, worker, auditor, wallet, events, standing, expectPaidIsOwed } = await creditBooks();

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
    expect(await wallet(one)).toEqual(shown(one, answer!));
  });

  it('tells the outside once, without a word on who paid', async () => {
    const one = await payment(db.owner, { data: { transactionAmount: '4521', paymentPrice: '32551.2' } });
    const [answer] = await creditAll(worker, [one.item]);
    await creditAll(worker, [one.item]);
    expect(await events(one.order.externalOrderNumber)).toEqual([
      {
        type: 'deposit.credited',
        data: {
          externalOrderNumber: one.order.externalOrderNumber,
          sequence: 2,
          wallet: one.order.wallet,
          state: 'CREDITED',
          final: true,
          late: false,
          currencyCode: one.order.currencyCode,
          buyCoinMode: one.order.buyCoinMode,
          asked: { mtcAmount: '4521' },
          amount: '4521',
          paidPrice: '32551.2',
          transactionCode: one.data.transactionCode,
          postingId: answer!.postingId,
          creditedAt: answer!.postedAt,
        },
      },
    ]);
  });

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
    await byHand(db.owner, 'delete from engine.event where subject = $1', [one.order.externalOrderNumber]);
    await byHand(db.owner, 'update engine.deposit set events = 0 where external_order_number = $1', [
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

it('the books, after all of this, are whole and owe every wallet what the provider says it released', expectPaidIsOwed);
