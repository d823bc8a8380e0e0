import { describe, expect, test } from 'vitest';
import { depositWorkflowId } from '../../../domain/ids.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { inbox, postings } from '../../api/evidence.ts';
import { expectAck } from '../../api/parts.ts';
import { paid, transactionCode } from '../../support/builders.ts';
import { callbackBody } from '../../support/messages/callbacks.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const { engine, api, send, say, placed, expectCredited, expectReview, expectNoTraces } = await startReceiving();

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

/** Last, because it checks the traces of all other tests. */
describe('what is left behind', () => {
  test('T3: no table, history or log holds a signature, a token, a key or the payer’s name', expectNoTraces);

  test('the books are whole', () => engine.auditLedger());
});
