import { describe, expect, onTestFinished, test } from 'vitest';
import type { CallbackData, Order } from '../../domain/order.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { keyId } from '../../providers/key-names.ts';
import { depositRow, expectRefusal, type InboxRow, inbox, postings, stored, workflowStatus } from '../api/evidence.ts';
import { delivered, expectAck, loggedApi, loggedWorker, reserved } from '../api/parts.ts';
import { order, paid, transactionCode } from '../support/builders.ts';
import { callbackAddress, callbackBody, providerKey } from '../support/callbacks.ts';
import { startEngine } from '../support/engine.ts';
import { byHand } from '../support/database.ts';
import { until } from '../support/until.ts';
import { traces } from '../api/traces.ts';
import { depositWorkflowId, reviewWorkflowId } from '../../domain/ids.ts';

/** No relay starts what a test has only reserved. */
const NO_START = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 3_600_000 };
const PAYER = 'Zhuge Liangliang';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const engine = await startEngine({ worker: false });
const api = await loggedApi(engine, NO_START);
const worker = await loggedWorker(engine);

/** Every body that was sent: what is in them must not be found elsewhere. */
const sent: string[] = [];
function send(externalOrderNumber: string, body: string) {
  sent.push(body);
  return engine.callback(callbackAddress(engine, externalOrderNumber), body);
}
const say = (data: CallbackData | Readonly<Record<string, unknown>>, timestampMs?: number) =>
  send(String(data.externalOrderNumber), callbackBody(engine, data, timestampMs));

async function stampsOf(externalOrderNumber: string): Promise<number> {
  const { rows } = await engine.db.owner.query<{ n: number }>(
    'select count(*)::int as n from engine.callback_stamp where external_order_number = $1',
    [externalOrderNumber],
  );
  return rows[0]!.n;
}

/** A deposit that waits for its payment. */
async function placed(change: Record<string, unknown> = {}): Promise<Order> {
  const created = await engine.create({ payerRealName: PAYER, ...change });
  expect(created.status).toBe(201);
  const { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode } = created.body;
  return { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode };
}

async function expectCredited({ externalOrderNumber }: Order, code: string, amount = '5000'): Promise<void> {
  expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({
    transactionCode: code,
    creditedAmount: amount,
    review: null,
  });
  expect(await postings(engine, externalOrderNumber)).toEqual([amount]);
}

/** The newest inbox row is a case of its own, in people's hands; the deposit and its money are untouched by it. */
async function expectReview({ externalOrderNumber }: Order, receipt: string, reason: string): Promise<InboxRow> {
  const row = await until(`a review ${reason}`, async () => {
    const newest = (await inbox(engine, externalOrderNumber)).at(-1);
    return newest?.outcome !== null && newest;
  });
  expect(row).toMatchObject({ receipt, reason, acked: true, outcome: `review:${reviewWorkflowId(row)}` });
  const described = await engine.client.workflow.getHandle(reviewWorkflowId(row)).describe();
  expect(described).toMatchObject({
    type: 'review',
    status: { name: 'RUNNING' },
    searchAttributes: { ReviewReason: [reason], DepositState: ['IN_REVIEW'] },
  });
  expect(api.alarms(externalOrderNumber)).toContain('callback_review');
  return row;
}

describe('the first authentic, readable callback', () => {
  test('is acknowledged to the byte, kept without its signature, bound to its deposit and credited', async () => {
    const deposit = await placed({ wallet: 'wallet-first' });
    const data = paid(deposit);
    const body = callbackBody(engine, data);
    expectAck(await send(deposit.externalOrderNumber, body));
    await expectCredited(deposit, data.transactionCode);
    const [row, ...more] = await inbox(engine, deposit.externalOrderNumber);
    expect(more).toEqual([]);
    expect(row).toMatchObject({
      deposit: deposit.externalOrderNumber,
      code: data.transactionCode,
      data,
      raw: body.replace(/"[0-9A-F]{64}"/, '"[signature]"'),
      receipt: 'first',
      reason: null,
      attempts: 1,
      acked: true,
      outcome: expect.stringMatching(/^posting:\d+$/),
    });
    expect((await engine.call('GET', '/v1/wallets/wallet-first')).body.balance).toBe('5000');
    expect(api.alarms(deposit.externalOrderNumber)).toEqual([]);
  });

  test('is taken from the inbox digit by digit: what is credited is what was written', async () => {
    const deposit = await placed({ mtcAmount: '100000000000000.00000001' });
    const data = paid(deposit, { transactionAmount: '100000000000000.00000001', paymentPrice: '720000000000000' });
    expectAck(await say(data));
    await expectCredited(deposit, data.transactionCode, '100000000000000.00000001');
  });
});

describe('an amount with an exponent', () => {
  test.each([
    ['5E+3', '3.6E+4'],
    ['50000e-1', '0.36e5'],
  ])('is the number it is: %s MTC for %s are credited as 5,000 for 36,000', async (transactionAmount, paymentPrice) => {
    const deposit = await placed();
    const data = paid(deposit);
    expectAck(await say({ ...data, transactionAmount, paymentPrice }));
    await expectCredited(deposit, data.transactionCode);
    expect(await inbox(engine, deposit.externalOrderNumber)).toMatchObject([{ data, receipt: 'first' }]);
  });
});

describe('the same content again', () => {
  test('in whatever clothes is acknowledged and counted, and credits nothing', async () => {
    const deposit = await placed();
    const n = deposit.externalOrderNumber;
    const data = paid(deposit);
    const first = callbackBody(engine, data);
    const again = [
      first,
      callbackBody(engine, data, Date.now() + 1),
      callbackBody(engine, { ...data, transactionAmount: '5000.00', paymentPrice: '36000.000' }),
      callbackBody(engine, { ...data, transactionAmount: '5E+3', paymentPrice: '360000e-1' }),
      callbackBody(engine, Object.fromEntries(Object.entries(data).toReversed())),
      callbackBody(engine, data).replaceAll(',', ' ,\n\t'),
      callbackBody(engine, data).replace('"timestamp":', '"version":[1,{"a":null}],"timestamp":'),
      callbackBody(engine, { ...data, settlementCurrency: 'USDT', fee: 'none' }),
      callbackBody(engine, data).replace('"transactionCode":"A', '"transaction\\u0043ode":"\\u0041'),
    ];
    expectAck(await send(n, first));
    await expectCredited(deposit, data.transactionCode);
    const before = await stored(engine);
    for (const body of again) expectAck(await send(n, body));
    expect(await inbox(engine, n)).toMatchObject([{ receipt: 'first', attempts: 1 + again.length }]);
    expect(await stored(engine)).toEqual({
      ...before,
      'callback attempts': String(Number(before['callback attempts']) + again.length),
    });
    expect((await engine.deposit(n)).attempts).toMatchObject({ count: 1 + again.length });
    expect(api.alarms(n)).toEqual([]);
  });

  test('T4, T23: a hundred times at once is a hundred acknowledgements and one credit', async () => {
    const deposit = await placed({ wallet: 'wallet-hundred' });
    const n = deposit.externalOrderNumber;
    const data = paid(deposit);
    const body = callbackBody(engine, data);
    const answers = await Promise.all(Array.from({ length: 100 }, () => delivered(() => send(n, body))));
    for (const answer of answers) expectAck(answer);
    await expectCredited(deposit, data.transactionCode);
    expect(await inbox(engine, n)).toMatchObject([{ receipt: 'first', attempts: 100, acked: true }]);
    expect((await engine.call('GET', '/v1/wallets/wallet-hundred')).body).toMatchObject({
      balance: '5000',
      postings: [{ externalOrderNumber: n }],
    });
  });
});

describe('a second payment of one deposit', () => {
  test('T5, T24: after the credit gets a review of its own; the first credit stands alone', async () => {
    const deposit = await placed();
    const data = paid(deposit);
    await say(data);
    await expectCredited(deposit, data.transactionCode);
    const row = await depositRow(engine, deposit.externalOrderNumber);
    const second = paid(deposit);
    expectAck(await say(second));
    expect(await expectReview(deposit, 'final', 'SECOND_CODE')).toMatchObject({
      code: second.transactionCode,
      data: second,
    });
    expect(await depositRow(engine, deposit.externalOrderNumber)).toBe(row);
    await expectCredited(deposit, data.transactionCode);
  });

  test('while people still look at the first gets a review beside it', async () => {
    const deposit = await placed();
    await say(paid(deposit, { transactionAmount: '1' }));
    await engine.untilState(deposit.externalOrderNumber, 'IN_REVIEW');
    expectAck(await say(paid(deposit)));
    await expectReview(deposit, 'other_content', 'SECOND_CODE');
    expect(await postings(engine, deposit.externalOrderNumber)).toEqual([]);
  });

  test('T23: twenty at once: one is credited, nineteen are reviewed, all are acknowledged', async () => {
    const deposit = await placed();
    const n = deposit.externalOrderNumber;
    const codes = Array.from({ length: 20 }, () => transactionCode());
    // Ahead of the clock: a little behind it lie the stamps that we signed ourselves.
    const at = Date.now();
    const answers = await Promise.all(
      codes.map((code, i) => delivered(() => say(paid(deposit, { transactionCode: code }), at + i))),
    );
    for (const answer of answers) expectAck(answer);
    const rows = await until('every one to have its owner', async () => {
      const all = await inbox(engine, n);
      return all.every((row) => row.outcome !== null) && all;
    });
    expect(rows.map((row) => String(row.code)).toSorted()).toEqual(codes.toSorted());
    const [first, ...others] = rows.toSorted((a, b) => Number(b.receipt === 'first') - Number(a.receipt === 'first'));
    await expectCredited(deposit, first!.code!);
    for (const row of others) {
      expect(row).toMatchObject({ reason: 'SECOND_CODE', outcome: `review:${reviewWorkflowId(row)}` });
      expect(await workflowStatus(engine, reviewWorkflowId(row))).toBe('RUNNING');
    }
  });

  test('of one code for two deposits: the second deposit goes to people with nothing posted', async () => {
    const [one, other] = [await placed(), await placed()];
    const data = paid(one);
    await say(data);
    await expectCredited(one, data.transactionCode);
    expectAck(await say(paid(other, { transactionCode: data.transactionCode })));
    const held = await engine.untilState(other.externalOrderNumber, 'IN_REVIEW');
    expect(held.review).toEqual({ reason: 'LEDGER_CONFLICT' });
    expect(await postings(engine, other.externalOrderNumber)).toEqual([]);
    await expect.poll(() => worker.alarms(other.externalOrderNumber), { timeout: 10_000 }).toEqual(['ledger_conflict']);
  });
});

describe('other content', () => {
  test.each([
    ['amount', { transactionAmount: '5000.01' }],
    ['price', { paymentPrice: '36000.01' }],
    ['currency', { currencyCode: 'HKD' }],
    ['time', { paymentFinishedTime: '2021-07-01T00:05:01' }],
  ] as const)(
    'T5: under the same code, another %s, is acknowledged and reviewed; the credit stands',
    async (_, change) => {
      const deposit = await placed();
      const data = paid(deposit);
      await say(data);
      await expectCredited(deposit, data.transactionCode);
      expectAck(await say({ ...data, ...change }));
      await expectReview(deposit, 'other_content', 'OTHER_CONTENT');
      await expectCredited(deposit, data.transactionCode);
    },
  );

  test('T1, T5: under a stamp that stands for another message is reviewed, whatever its code', async () => {
    const deposit = await placed();
    const at = Date.now();
    const data = paid(deposit);
    await say(data, at);
    await expectCredited(deposit, data.transactionCode);
    expectAck(await say(paid(deposit), at));
    await expectReview(deposit, 'other_content', 'STAMP_REUSED');
    await expectCredited(deposit, data.transactionCode);
  });

  test('T16: is kept twenty times for one deposit; further ones are counted and not acknowledged, and other kinds are still kept', async () => {
    const deposit = await placed();
    const n = deposit.externalOrderNumber;
    const data = paid(deposit, { transactionAmount: '1' });
    await say(data);
    await engine.untilState(n, 'IN_REVIEW');
    for (let i = 1; i <= 23; i += 1) {
      const answer = await say({ ...data, transactionAmount: String(i + 1) });
      // What could be read may be money: what is not kept is not acknowledged.
      if (i <= 20) expectAck(answer);
      else expectRefusal(answer, 503, 'unavailable');
    }
    const kept = async (receipt: string) => (await inbox(engine, n)).filter((row) => row.receipt === receipt);
    expect((await kept('other_content')).map((row) => row.attempts)).toEqual([
      ...Array.from({ length: 19 }, () => 1),
      4,
    ]);
    expect(api.alarms(n).filter((alarm) => alarm === 'callback_flood')).toHaveLength(3);
    // What is not kept leaves its stamp: no other content is taken under it. Each of the 23 had a ticket of its own.
    expect(await stampsOf(n)).toBe(24);
    expectAck(await say({ ...data, transactionAmount: '-1' }));
    await expectReview(deposit, 'unreadable', 'UNREADABLE');
    expect(await postings(engine, n)).toEqual([]);
  });

  test('under the stamp of a message that could not be read is reviewed; a fresh stamp is credited', async () => {
    const deposit = await placed();
    const at = Date.now();
    const data = paid(deposit);
    expectAck(await say({ ...data, transactionAmount: '-5000' }, at));
    await expectReview(deposit, 'unreadable', 'UNREADABLE');
    expectAck(await say(data, at));
    await expectReview(deposit, 'other_content', 'STAMP_REUSED');
    const fresh = paid(deposit);
    expectAck(await say(fresh, at + 1));
    await expectCredited(deposit, fresh.transactionCode);
  });

  test('one stamp for two orders is no fault: two orders may share a millisecond', async () => {
    const [one, other] = [await placed(), await placed()];
    const at = Date.now();
    const [first, second] = [paid(one), paid(other)];
    expectAck(await say(first, at));
    expectAck(await say(second, at));
    await expectCredited(one, first.transactionCode);
    await expectCredited(other, second.transactionCode);
  });
});

describe('many at once for one order', () => {
  const waiting = async () => {
    const { rows } = await engine.db.owner.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where application_name like 'deposit-api%' and wait_event_type = 'Lock'`,
    );
    return rows[0]!.n;
  };

  test('wait without a connection while its row is locked: other orders are served, and then all of them are', async () => {
    const [hot, other] = [await placed(), await placed()];
    const lock = await engine.db.owner.connect();
    onTestFinished(() => lock.release());
    await lock.query('begin');
    await lock.query('select from engine.deposit where external_order_number = $1 for update', [
      hot.externalOrderNumber,
    ]);
    const at = Date.now();
    const data = paid(hot);
    /** As the provider does: a 503 is not the end. */
    const untilAck = async (of: CallbackData): Promise<void> => {
      const answer = await say(of, at);
      return answer.status === 503 ? untilAck(of) : expectAck(answer);
    };
    const first = untilAck(data);
    await until('the first to wait', async () => (await waiting()) === 1);
    const copies = Array.from({ length: 30 }, () => untilAck(data));
    const seconds = Array.from({ length: 5 }, () => untilAck(paid(hot)));
    expectAck(await say(paid(other)));
    expect(await waiting()).toBeLessThanOrEqual(1);
    await lock.query('commit');
    await Promise.all([first, ...copies, ...seconds]);
    const attempts = (await inbox(engine, hot.externalOrderNumber)).map((row) => row.attempts);
    expect(attempts.toSorted((a, b) => a - b)).toEqual([1, 1, 1, 1, 1, 31]);
    await engine.untilState(hot.externalOrderNumber, 'CREDITED');
  });
});

describe('the time of the stamp', () => {
  test.each([
    ['just now', 0],
    ['a little ahead', 110_000],
    ['a little before the order was sent', -4 * MINUTE],
  ])('%s is credited', async (_, offset) => {
    const deposit = await placed();
    const data = paid(deposit);
    expectAck(await say(data, Date.now() + offset));
    await expectCredited(deposit, data.transactionCode);
  });

  test.each([
    ['three minutes ahead', 3 * MINUTE, 'ahead', 'STAMP_AHEAD'],
    ['fourteen minutes ahead', 14 * MINUTE, 'ahead', 'STAMP_AHEAD'],
    ['before the order was sent', -6 * MINUTE, 'stale', 'STAMP_BEFORE_ORDER'],
    ['a day old', -24 * HOUR, 'stale', 'STAMP_BEFORE_ORDER'],
    ['older than the listening window', -74 * HOUR, 'stale', 'STALE'],
    ['of 2021', 1_625_546_438_154 - Date.now(), 'stale', 'STALE'],
  ])(
    '%s is acknowledged and reviewed; the deposit waits on, and a fresh one is credited',
    async (_, offset, receipt, reason) => {
      const deposit = await placed();
      expectAck(await say(paid(deposit), Date.now() + offset));
      await expectReview(deposit, receipt, reason);
      expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({
        state: 'AWAITING_PAYMENT',
        review: null,
      });
      const genuine = paid(deposit);
      expectAck(await say(genuine));
      await expectCredited(deposit, genuine.transactionCode);
    },
  );

  test('of a retry late in the listening window is credited, and beyond the window it is reviewed', async () => {
    const [late, tooLate] = [await placed(), await placed()];
    await byHand(
      engine.db.owner,
      `update engine.placement_attempt set started_at = started_at - interval '100 hours' where external_order_number = any($1)`,
      [[late.externalOrderNumber, tooLate.externalOrderNumber]],
    );
    const data = paid(late);
    expectAck(await say(data, Date.now() - 73 * HOUR + MINUTE));
    await expectCredited(late, data.transactionCode);
    expectAck(await say(paid(tooLate), Date.now() - 73 * HOUR - MINUTE));
    await expectReview(tooLate, 'stale', 'STALE');
    expect(await postings(engine, tooLate.externalOrderNumber)).toEqual([]);
  });

  test('T24: of a deposit whose order was never sent is reviewed, and starts nothing', async () => {
    const deposit = order();
    await reserved(engine, deposit);
    expectAck(await say(paid(deposit)));
    await expectReview(deposit, 'stale', 'STAMP_BEFORE_ORDER');
    expect(await workflowStatus(engine, depositWorkflowId(deposit.externalOrderNumber))).toBeNull();
    expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({ state: 'PLACING' });
  });
});

describe('a stamp of our own that comes back as a callback', () => {
  /** A deposit and the stamp of its placement. Orders of one second share a stamp: this one has not come back yet. */
  const placedUnderStamp = () =>
    until('a stamp that has not come back', async () => {
      const deposit = await placed();
      const { rows } = await engine.db.owner.query<{ at: string; fresh: boolean }>(
        `select timestamp_ms as at, reflected_at is null as fresh from engine.own_stamp where key_id = $1
          order by timestamp_ms desc limit 1`,
        [keyId(providerKey(engine))],
      );
      return rows[0]!.fresh && { deposit, at: Number(rows[0]!.at) };
    });

  test('T2: is refused once with nothing kept, reviewed when it comes again, and the genuine callback is credited', async () => {
    const { deposit, at } = await placedUnderStamp();
    const forged = paid(deposit);
    const before = await stored(engine);
    const refused = await say(forged, at);
    expectRefusal(refused, 503, 'unavailable');
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await stored(engine)).toEqual({ ...before, reflections: String(Number(before['reflections']) + 1) });
    expect(api.alarms(deposit.externalOrderNumber)).toEqual(['callback_reflected']);

    expectAck(await say(forged, at));
    await expectReview(deposit, 'reflected', 'REFLECTED');
    expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({ state: 'AWAITING_PAYMENT' });
    const genuine = paid(deposit);
    expectAck(await say(genuine));
    await expectCredited(deposit, genuine.transactionCode);
  });

  test('by chance is honest: the retry under another stamp is credited', async () => {
    const { deposit, at } = await placedUnderStamp();
    const data = paid(deposit);
    expectRefusal(await say(data, at), 503, 'unavailable');
    expectAck(await say(data));
    await expectCredited(deposit, data.transactionCode);
  });

  test('by chance, with others that were signed in one millisecond: each is refused once, and none is for people', async () => {
    const { deposit, at } = await placedUnderStamp();
    const signed = [deposit, await placed(), await placed()].map((of) => ({ of, data: paid(of) }));
    for (const { data } of signed) expectRefusal(await say(data, at), 503, 'unavailable');
    for (const { of, data } of signed) {
      expectAck(await say(data));
      await expectCredited(of, data.transactionCode);
    }
  });
});

describe('data that cannot be read', () => {
  test.each<[string, Record<string, unknown>]>([
    ['an amount of zero', { transactionAmount: '0' }],
    ['an amount of minus zero', { transactionAmount: '-0' }],
    ['a negative amount', { transactionAmount: '-5000' }],
    ['an amount as a string', { transactionAmount: '"5000"' }],
    ['nine decimals', { transactionAmount: '5000.000000001' }],
    ['an amount beyond all numbers', { transactionAmount: '1e400' }],
    ['an exponent of three digits', { transactionAmount: '5e100' }],
    ['an exponent that makes nine decimals', { transactionAmount: '5e-9' }],
    ['an amount of 16 digits', { transactionAmount: '1000000000000000' }],
    ['an amount that is true', { transactionAmount: 'true' }],
    ['an amount that is null', { transactionAmount: 'null' }],
    ['an amount in a list', { transactionAmount: '[5000]' }],
    ['a price with three decimals', { paymentPrice: '36000.001' }],
    ['a negative price', { paymentPrice: '-36000' }],
    ['an unknown currency', { currencyCode: 'USD' }],
    ['a currency in lower case', { currencyCode: 'cny' }],
    ['an empty code', { transactionCode: '' }],
    ['a code with a space', { transactionCode: 'AT 1' }],
    ['a code that is too long', { transactionCode: 'A'.repeat(65) }],
    ['a code that is a number', { transactionCode: 12 }],
    ['no code', { transactionCode: undefined }],
    ['no amount', { transactionAmount: undefined }],
    ['no price', { paymentPrice: undefined }],
    ['no currency', { currencyCode: undefined }],
    ['no time of creation', { transactionCreateTime: undefined }],
    ['a time with a NUL', { paymentFinishedTime: '2021\u0000' }],
    ['a time that is a number', { paymentFinishedTime: 1_625_546_438_154 }],
  ])(
    'T7: %s is acknowledged, kept as it came and reviewed; the readable one after it is credited',
    async (_, change) => {
      const deposit = await placed();
      const data = paid(deposit);
      const body = callbackBody(
        engine,
        Object.fromEntries(Object.entries({ ...data, ...change }).filter(([, value]) => value !== undefined)),
      );
      expectAck(await send(deposit.externalOrderNumber, body));
      const row = await expectReview(deposit, 'unreadable', 'UNREADABLE');
      expect(row).toMatchObject({ code: null, data: null, raw: body.replace(/"[0-9A-F]{64}"/, '"[signature]"') });
      expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({
        state: 'AWAITING_PAYMENT',
        review: null,
      });
      expectAck(await say(data));
      await expectCredited(deposit, data.transactionCode);
    },
  );

  test('T16: is kept twenty times for one deposit; further ones are acknowledged and counted', async () => {
    const deposit = await placed();
    const n = deposit.externalOrderNumber;
    for (let i = 1; i <= 25; i += 1) expectAck(await say(paid(deposit, { transactionAmount: `-${i}` })));
    const rows = await inbox(engine, n);
    expect(rows).toHaveLength(20);
    expect(rows.map((row) => row.attempts)).toEqual([...Array.from({ length: 19 }, () => 1), 6]);
    expect(api.alarms(n).filter((alarm) => alarm === 'callback_flood')).toHaveLength(5);
    const data = paid(deposit);
    expectAck(await say(data));
    await expectCredited(deposit, data.transactionCode);
  });
});

describe('a payment that is not what was ordered', () => {
  test.each<[string, Record<string, unknown>, Partial<CallbackData>]>([
    ['AMOUNT_MISMATCH', {}, { transactionAmount: '4999.99999999' }],
    ['AMOUNT_MISMATCH', {}, { transactionAmount: '5000.00000001' }],
    ['CURRENCY_MISMATCH', {}, { currencyCode: 'HKD' }],
    ['RATE_OUT_OF_BAND', {}, { paymentPrice: '32499.99' }],
    ['RATE_OUT_OF_BAND', {}, { paymentPrice: '40000.01' }],
    [
      'PRICE_MISMATCH',
      { buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice: '36000' },
      { paymentPrice: '35999.99' },
    ],
    [
      'RATE_OUT_OF_BAND',
      { buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice: '36000' },
      { transactionAmount: '5538.46153847' },
    ],
  ])(
    'T6, T8, T9: %s: acknowledged, IN_REVIEW with that reason, nothing posted, and no later one is credited',
    async (reason, asked, change) => {
      const wallet = `wallet-${transactionCode()}`;
      const deposit = await placed({ wallet, ...asked });
      const n = deposit.externalOrderNumber;
      expectAck(await say(paid(deposit, change)));
      const held = await engine.untilState(n, 'IN_REVIEW');
      expect(held).toMatchObject({ review: { reason }, creditedAmount: null });
      expect(await inbox(engine, n)).toMatchObject([
        { receipt: 'first', reason: null, acked: true, outcome: `review:deposit:${n}` },
      ]);
      const described = await until('the reason to be searchable', async () => {
        const found = await engine.client.workflow.getHandle(depositWorkflowId(n)).describe();
        return found.searchAttributes['ReviewReason'] !== undefined && found;
      });
      expect(described).toMatchObject({
        status: { name: 'RUNNING' },
        searchAttributes: { ReviewReason: [reason], DepositState: ['IN_REVIEW'] },
      });
      expectAck(await say(paid(deposit)));
      await expectReview(deposit, 'other_content', 'SECOND_CODE');
      expect(await postings(engine, n)).toEqual([]);
      expect((await engine.call('GET', `/v1/wallets/${wallet}`)).body.balance).toBe('0');
    },
  );

  test.each(['32500', '40000'])(
    'the very edge of the rate band is inside: %s for 5,000 is credited',
    async (paymentPrice) => {
      const deposit = await placed();
      const data = paid(deposit, { paymentPrice });
      expectAck(await say(data));
      await expectCredited(deposit, data.transactionCode);
    },
  );
});

/** Last, because it looks at what all the others have left behind. */
describe('what is left behind', () => {
  test('T3: no table, history or log holds a signature, a token, a key or the payer’s name', async () => {
    const text = await traces(engine, [...api.lines, ...worker.lines]);
    const numbers = new Set(
      sent.map((body) => JSON.parse(body.replaceAll(/:-?(?:1e400|-0)/g, ':0')).data.externalOrderNumber),
    );
    const canaries = [
      ...sent.map((body) => /"signature":"([^"]+)"/.exec(body)![1]!),
      ...[...numbers].map((n) => callbackAddress(engine, n).split('/').at(-1)!),
      ...['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', 'CALLBACK_KEY', 'PAYER_NAME_KEY', 'FINGERPRINT_KEY'].map(
        (name) => engine.env[name]!,
      ),
      'Zhuge',
      'Liangliang',
    ];
    expect(canaries.length).toBeGreaterThan(300);
    expect(canaries.filter((canary) => text.includes(canary))).toEqual([]);
    // What is looked for would be found: these are there, in a table, a history's payload and a log.
    const stamps = await engine.db.owner.query<{ timestamp_ms: string }>('select timestamp_ms from engine.own_stamp');
    expect(text).not.toContain(sign(providerKey(engine), Number(stamps.rows[0]!.timestamp_ms)));
    expect(text).toContain('"[signature]"');
    expect(text).toContain('"paymentWindowMs":1800000');
    expect(text).toContain('"alarm":"callback_reflected"');
  });

  test('the books are whole', () => engine.auditLedger());
});
