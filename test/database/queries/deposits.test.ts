import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type DepositFilter,
  findDeposit,
  findForPlacement,
  listDeposits,
  markClosed,
  type PageEnd,
  writeState,
  type Reservation,
  reserve,
  SETTLED_CHANNEL,
  viewDeposit,
} from '../../../database/queries/deposits.ts';
import { openDepositCase } from '../../../database/queries/cases.ts';
import { closeAttempts } from '../../../database/queries/placements.ts';
import { arriving, findCallback } from '../../../database/queries/callbacks.ts';
import { inTransaction } from '../../../database/pool.ts';
import { DEPOSIT_STATES, type DepositState } from '../../../domain/deposit.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { newWallet, payment, type Payment } from '../../ledger/payments.ts';
import { order, reservation as reservationOf, settings } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');

const reservation = (change: Partial<Reservation> = {}): Reservation =>
  reservationOf(order({ wallet: newWallet() }), {
    supportLanguage: 'zh_TW',
    settings: settings({ latePolicy: 'review' }),
    ...change,
  });
const inState = (number: string, state: DepositState) =>
  byHand(db.owner, 'update engine.deposit set state = $2 where external_order_number = $1', [number, state]);
/** In this state since its windows have ended. */
const ended = (number: string, state: DepositState) =>
  byHand(
    db.owner,
    `update engine.deposit set state = $2, expires_at = clock_timestamp(), listening_until = clock_timestamp() where external_order_number = $1`,
    [number, state],
  );
const stateOf = async (number: string) => (await findDeposit(api, number))!.state;

describe('a reservation', () => {
  it('is found as it was made, without the name, which only placement reads', async () => {
    const wanted = reservation({ mtcAmount: '5000.10' });
    expect(await reserve(api, wanted)).not.toBeNull();
    const { payerName, payerNameKey, ...rest } = wanted;
    const found = await findDeposit(api, wanted.externalOrderNumber);
    expect(found).toEqual({
      ...rest,
      mtcAmount: '5000.1',
      state: 'PLACING',
      late: false,
      redirectUrl: null,
      advertisementCode: null,
      boundCallback: null,
      postingId: null,
      reviewReason: null,
      refusal: null,
      createdAt: expect.any(Date),
      placedAt: null,
      expiresAt: null,
      listeningUntil: null,
      closedAt: null,
      settledBy: null,
      provider: 'mtpay',
    });
    expect(await findForPlacement(worker, wanted.externalOrderNumber)).toEqual({
      ...found,
      payerName,
      payerNameKey,
      ageMs: expect.any(Number),
      last: null,
      mayHaveBeenPlaced: false,
    });
  });

  it('is made once: a repeat, with whatever parameters, is answered null and changes nothing', async () => {
    const wanted = reservation();
    const rivals = await Promise.all(Array.from({ length: 50 }, () => reserve(api, wanted)));
    expect(rivals.filter((made) => made)).toHaveLength(1);
    const before = await findDeposit(api, wanted.externalOrderNumber);
    expect(await reserve(api, { ...wanted, mtcAmount: '1', wallet: 'another', currencyCode: 'TWD' })).toBeNull();
    expect(await findDeposit(api, wanted.externalOrderNumber)).toEqual(before);
  });

  it.each([
    ['both amounts', { totalPrice: '1' }],
    ['no amount', { mtcAmount: null }],
    ['the amount of the other mode', { mtcAmount: null, totalPrice: '1' }],
    ['a negative amount', { mtcAmount: '-1' }],
    ['nothing as amount', { mtcAmount: '0' }],
    ['another currency', { currencyCode: 'USD' as 'CNY' }],
    ['another language', { supportLanguage: 'fr' as 'en' }],
    ['another mode', { buyCoinMode: 'Both' as 'MtcAmount' }],
    ['a number that is no identifier', { externalOrderNumber: 'a b' }],
    ['a number with a line end', { externalOrderNumber: 'a\n' }],
    ['a number that is too long', { externalOrderNumber: 'a'.repeat(65) }],
    ['a wallet that is no identifier', { wallet: 'a|b' }],
  ])('with %s is refused by the database itself', async (_, change) => {
    await expect(reserve(api, reservation(change))).rejects.toMatchObject({ code: '23514' });
  });

  it('is in no state that the table does not know', async () => {
    const wanted = reservation();
    await reserve(api, wanted);
    for (const state of DEPOSIT_STATES) await inState(wanted.externalOrderNumber, state);
    await expect(inState(wanted.externalOrderNumber, 'PAID' as 'CREDITED')).rejects.toMatchObject({ code: '23514' });
  });

  it('that is not there is null', async () => {
    expect(await findDeposit(api, 'none')).toBeNull();
    expect(await findForPlacement(worker, 'none')).toBeNull();
    expect(await viewDeposit(api, 'none')).toBeNull();
  });
});

describe('a locked deposit', () => {
  it('keeps a message of its order waiting until the transaction ends', async () => {
    const wanted = reservation();
    await reserve(api, wanted);
    const arrives = (timeoutMs: number) =>
      inTransaction(api, async (client) => {
        await client.query(`set local lock_timeout = ${timeoutMs}`);
        return arriving(client, wanted.externalOrderNumber);
      });
    await inTransaction(db.owner, async (client) => {
      await client.query('select from engine.deposit where external_order_number = $1 for no key update', [
        wanted.externalOrderNumber,
      ]);
      await expect(arrives(50)).rejects.toMatchObject({ code: '55P03' });
    });
    expect(await arrives(2_000)).toMatchObject({ state: 'PLACING' });
  });
});

describe('a state that the workflow records', () => {
  const AFTER = { AWAITING_PAYMENT: 'PLACEMENT_UNKNOWN', EXPIRED: 'AWAITING_PAYMENT' } as const;
  it.each(['AWAITING_PAYMENT', 'EXPIRED'] as const)('%s follows one state only; any other stays', async (state) => {
    const wanted = reservation();
    await reserve(api, wanted);
    await linked(wanted.externalOrderNumber);
    for (const before of DEPOSIT_STATES) {
      await inState(wanted.externalOrderNumber, before);
      await writeState(worker, wanted.externalOrderNumber, state);
      expect(await stateOf(wanted.externalOrderNumber)).toBe(before === AFTER[state] ? state : before);
    }
  });

  it('is answered with the end of the payment window as the row has it', async () => {
    const wanted = reservation();
    await reserve(api, wanted);
    await linked(wanted.externalOrderNumber);
    await inState(wanted.externalOrderNumber, 'PLACEMENT_UNKNOWN');
    expect(await writeState(worker, wanted.externalOrderNumber, 'AWAITING_PAYMENT')).toEqual({ expiresAt: ENDS });
  });

  it('waits for no payment where the row has no checkout link, whatever a message says', async () => {
    const wanted = reservation();
    await reserve(api, wanted);
    await inState(wanted.externalOrderNumber, 'PLACEMENT_UNKNOWN');
    expect(await writeState(worker, wanted.externalOrderNumber, 'AWAITING_PAYMENT')).toEqual({ expiresAt: null });
    expect(await stateOf(wanted.externalOrderNumber)).toBe('PLACEMENT_UNKNOWN');
  });

  const ENDS = '2026-03-01T12:30:00.000Z';
  const linked = (externalOrderNumber: string) =>
    db.owner.query(
      `update engine.deposit set redirect_url = 'https://pay.example/1', expires_at = $2 where external_order_number = $1`,
      [externalOrderNumber, ENDS],
    );
});

describe('a review', () => {
  const review = (one: Payment, change: object = {}) => ({
    reason: 'AMOUNT_MISMATCH',
    late: true,
    inboxId: one.inboxId,
    ...change,
  });
  const mark = (one: Payment, change: object = {}) => openDepositCase(worker, review(one, change));

  it('is shown on the deposit and settles the callback that led there, both or neither', async () => {
    const one = await payment(db.owner);
    await mark(one);
    expect(await findDeposit(api, one.order.externalOrderNumber)).toMatchObject({
      state: 'IN_REVIEW',
      reviewReason: 'AMOUNT_MISMATCH',
      late: true,
    });
    expect(await findCallback(api, one.inboxId)).toMatchObject({
      outcome: `review:deposit:${one.order.externalOrderNumber}`,
    });
  });

  it('that is repeated changes nothing; nor does one for a deposit that is credited or rejected', async () => {
    const one = await payment(db.owner);
    await creditAll(worker, [one.item]);
    const before = [await findDeposit(api, one.order.externalOrderNumber), await findCallback(api, one.inboxId)];
    await mark(one);
    expect([await findDeposit(api, one.order.externalOrderNumber), await findCallback(api, one.inboxId)]).toEqual(
      before,
    );
    const other = await payment(db.owner);
    await inState(other.order.externalOrderNumber, 'REJECTED');
    expect(await mark(other)).toBeNull();
    expect(await stateOf(other.order.externalOrderNumber)).toBe('REJECTED');
    expect(await findCallback(api, other.inboxId)).toMatchObject({ outcome: null });
  });
});

describe('a deposit that is closed', () => {
  it.each([
    ['PLACEMENT_REFUSED', 'PARAMETER_ERROR'],
    ['UNPAID', null],
  ] as const)('as %s says so, and tells whoever waits for it', async (state, refusal) => {
    const wanted = reservation();
    await reserve(api, wanted);
    if (state === 'UNPAID') {
      await expect(markClosed(worker, wanted.externalOrderNumber, state, refusal)).rejects.toMatchObject({
        code: 'P0E54',
      });
      await ended(wanted.externalOrderNumber, 'EXPIRED');
    } else {
      await expect(markClosed(worker, wanted.externalOrderNumber, state, refusal)).rejects.toMatchObject({
        code: 'P0E55',
      });
      await closeAttempts(worker, wanted.externalOrderNumber, 1, 'NOT_SENT');
    }
    const listener = new pg.Client(db.urlFor('app_api'));
    await listener.connect();
    onTestFinished(() => listener.end());
    const told = new Promise((resolve) => void listener.once('notification', resolve));
    await listener.query(`listen ${SETTLED_CHANNEL}`);
    expect(await markClosed(worker, wanted.externalOrderNumber, state, refusal)).toBe('done');
    expect(await findDeposit(api, wanted.externalOrderNumber)).toMatchObject({
      state,
      refusal,
      closedAt: expect.any(Date),
    });
    expect(await told).toMatchObject({ channel: SETTLED_CHANNEL, payload: wanted.externalOrderNumber });
  });
});

describe('a list of deposits', () => {
  it('is complete over its pages, newest first, whatever their size and however alike the times', async () => {
    const wallet = newWallet();
    const made = Array.from({ length: 7 }, () => reservation({ wallet }));
    for (const one of made) await reserve(api, one);
    // The second to the fifth at the very same moment: the number determines their order.
    await db.owner.query(
      `update engine.deposit set created_at = '2026-03-01T12:00:00.123456Z' where external_order_number = any($1)`,
      [made.slice(1, 5).map((one) => one.externalOrderNumber)],
    );
    const whole = await listDeposits(api, { wallet, limit: 100 });
    expect(whole.end).toBeNull();
    const numbers = whole.items.map((one) => one.externalOrderNumber);
    expect(numbers.toSorted()).toEqual(made.map((one) => one.externalOrderNumber).toSorted());
    const times = whole.items.map((one) => one.createdAt.getTime());
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    for (const limit of [1, 2, 3, 7]) {
      const seen: string[] = [];
      let after: PageEnd | undefined;
      do {
        const page = await listDeposits(api, { wallet, limit, after });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        seen.push(...page.items.map((one) => one.externalOrderNumber));
        after = page.end ?? undefined;
      } while (after !== undefined);
      expect(seen).toEqual(numbers);
    }
  });

  it('is of the state and the wallet asked for, and of no other', async () => {
    const wallet = newWallet();
    const [one, two, other] = [reservation({ wallet }), reservation({ wallet }), reservation()];
    for (const each of [one, two, other]) await reserve(api, each);
    await inState(two.externalOrderNumber, 'UNPAID');
    await inState(other.externalOrderNumber, 'UNPAID');
    const numbers = async (filter: Omit<DepositFilter, 'limit'>) =>
      (await listDeposits(api, { ...filter, limit: 100 })).items.map((each) => each.externalOrderNumber);
    expect(await numbers({ wallet, state: ['UNPAID'] })).toEqual([two.externalOrderNumber]);
    expect(await numbers({ wallet, state: ['PLACING'] })).toEqual([one.externalOrderNumber]);
    expect(await numbers({ wallet, state: ['CREDITED'] })).toEqual([]);
    expect(await numbers({ state: ['UNPAID'] })).toContain(other.externalOrderNumber);
    expect(await numbers({ wallet, state: ['PLACING', 'UNPAID', 'PLACING'] })).toEqual(
      [one, two].map((each) => each.externalOrderNumber).toReversed(),
    );
  });

  it('can be kept to a time of creation, to a prefix of the number, and to the code of a payment', async () => {
    const wallet = newWallet();
    const numbered = (externalOrderNumber: string) => reservation({ wallet, externalOrderNumber });
    // `_` is a letter here, and letters are compared as bytes: no number between `a_` and `a_~` is left out.
    for (const n of ['a_2', 'a_Z', 'a_z', 'aX2', 'a_', 'b_1']) await reserve(api, numbered(n));
    for (const [n, day] of [
      ['a_2', 1],
      ['a_Z', 2],
      ['a_z', 3],
    ] as const)
      await byHand(db.owner, 'update engine.deposit set created_at = $2 where external_order_number = $1', [
        n,
        `2026-02-0${day}T00:00:00Z`,
      ]);
    const read = async (filter: Omit<DepositFilter, 'limit'>) =>
      (await listDeposits(api, { wallet, ...filter, limit: 100 })).items.map((each) => each.externalOrderNumber);
    const [first, third] = [new Date('2026-02-01T00:00:00Z'), new Date('2026-02-03T00:00:00Z')];
    expect(await read({ createdFrom: first, createdBefore: third })).toEqual(['a_Z', 'a_2']);
    expect(await read({ orderPrefix: 'a_' })).toEqual(['a_', 'a_2', 'a_Z', 'a_z']);
    expect(await read({ orderPrefix: 'a_', createdFrom: first, createdBefore: third })).toEqual(['a_2', 'a_Z']);
    expect(await read({ orderPrefix: 'a_', state: ['UNPAID'] })).toEqual([]);
    const unlimited = await listDeposits(api, { orderPrefix: 'b_1', limit: 1 });
    expect(unlimited).toMatchObject({ items: [{ externalOrderNumber: 'b_1' }], end: null });
    // Page by page.
    const pages: string[] = [];
    for (let after: PageEnd | undefined; pages.length < 10; ) {
      const { items, end } = await listDeposits(api, { wallet, orderPrefix: 'a_', limit: 1, after });
      pages.push(...items.map((each) => each.externalOrderNumber));
      if (end === null) break;
      after = end;
    }
    expect(pages).toEqual(['a_', 'a_2', 'a_Z', 'a_z']);
  });
});

describe('the view of a deposit', () => {
  it('takes code and amount from the bound callback and from the books, and counts what was heard', async () => {
    const one = await payment(db.owner, { data: { transactionAmount: '4999.5' } });
    const number = one.order.externalOrderNumber;
    expect(await viewDeposit(api, number)).toMatchObject({
      transactionCode: one.data.transactionCode,
      creditedAmount: null,
      attempts: { count: 1, lastAt: expect.any(Date) },
      refusalMessage: null,
    });
    await creditAll(worker, [one.item]);
    await db.owner.query('update engine.callback set attempts = 3 where id = $1', [one.inboxId]);
    expect(await viewDeposit(api, number)).toMatchObject({
      state: 'CREDITED',
      transactionCode: one.data.transactionCode,
      creditedAmount: '4999.5',
      attempts: { count: 3 },
    });
  });

  it('is listed by the code of a payment that came for it, before and after the credit, if the other filters fit', async () => {
    const [one, other] = [await payment(db.owner), await payment(db.owner)];
    const { transactionCode } = one.data;
    const { externalOrderNumber, wallet } = one.order;
    const read = async (filter: Omit<DepositFilter, 'limit'>) =>
      (await listDeposits(api, { transactionCode, ...filter, limit: 10 })).items.map(
        (each) => each.externalOrderNumber,
      );
    for (const state of ['before', 'after']) {
      if (state === 'after') await creditAll(worker, [one.item, other.item]);
      const fitting = [{}, { wallet }, { wallets: [wallet] }, { orderPrefix: externalOrderNumber.slice(0, 5) }];
      for (const filter of fitting) expect([filter, await read(filter)]).toEqual([filter, [externalOrderNumber]]);
      const foreign = [{ wallet: newWallet() }, { wallets: [newWallet()] }, { orderPrefix: 'no-such' }];
      for (const filter of [...foreign, { state: ['UNPAID'] as const }, { createdBefore: new Date(0) }])
        expect([filter, await read(filter)]).toEqual([filter, []]);
    }
  });

  it('has heard nothing when nothing came', async () => {
    const wanted = reservation();
    await reserve(api, wanted);
    expect(await viewDeposit(api, wanted.externalOrderNumber)).toMatchObject({
      transactionCode: null,
      attempts: { count: 0, lastAt: null },
    });
  });
});
