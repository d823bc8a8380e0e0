import { describe, expect, onTestFinished, test } from 'vitest';
import { reviewWorkflowId } from '../../../domain/ids.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { depositRow, expectRefusal, inbox, postings, stored, workflowStatus } from '../../api/evidence.ts';
import { delivered, expectAck } from '../../api/parts.ts';
import { paid, transactionCode } from '../../support/builders.ts';
import { callbackBody } from '../../support/messages/callbacks.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const { engine, api, worker, send, say, placed, expectCredited, expectReview, expectNoTraces } = await startReceiving();

async function stampsOf(externalOrderNumber: string): Promise<number> {
  const { rows } = await engine.db.owner.query<{ n: number }>(
    'select count(*)::int as n from engine.callback_stamp where external_order_number = $1',
    [externalOrderNumber],
  );
  return rows[0]!.n;
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
    // Ahead of the clock: our own stamps lie a little behind it.
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
      // A readable message may be a payment: if it is not stored, it is not acknowledged.
      if (i <= 20) expectAck(answer);
      else expectRefusal(answer, 503, 'unavailable');
    }
    const kept = async (receipt: string) => (await inbox(engine, n)).filter((row) => row.receipt === receipt);
    expect((await kept('other_content')).map((row) => row.attempts)).toEqual([
      ...Array.from({ length: 19 }, () => 1),
      4,
    ]);
    expect(api.alarms(n).filter((alarm) => alarm === 'callback_flood')).toHaveLength(3);
    // An unstored message leaves its stamp: no other content is accepted under it. Each of the 23 had a ticket of its
    // own.
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
    /** The provider retries after a 503. */
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

describe('many at once for many orders', () => {
  test('are each acknowledged once and credited once, and their repeats credit nothing', async () => {
    const deposits = await Promise.all(Array.from({ length: 64 }, () => placed()));
    const payments = deposits.map((deposit) => paid(deposit));
    for (const round of [1, 2]) {
      for (const answer of await Promise.all(payments.map((data) => delivered(() => say(data))))) expectAck(answer);
      for (const [i, deposit] of deposits.entries()) {
        await expectCredited(deposit, payments[i]!.transactionCode);
        const row = { receipt: 'first', acked: true, attempts: round, outcome: expect.stringMatching(/^posting:\d+$/) };
        expect(await inbox(engine, deposit.externalOrderNumber)).toMatchObject([row]);
      }
    }
  });
});

/** Last, because it checks the traces of all other tests. */
describe('what is left behind', () => {
  test('T3: no table, history or log holds a signature, a token, a key or the payer’s name', expectNoTraces);

  test('the books are whole', () => engine.auditLedger());
});
