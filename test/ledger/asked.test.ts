import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type CreditItem, creditAll, createCreditor, priceOf } from '../../ledger/credit.ts';
import { carryOutDecision } from '../../ledger/decide.ts';

/** The queries of the books, and the items refused without a query: without a database. */

const item: CreditItem = {
  inboxId: '7',
  deposit: 'o-1',
  wallet: 'w-1',
  transactionCode: 'T-1',
  amount: '5000',
  currencyCode: 'CNY',
  paymentPrice: '36000',
  late: false,
  workflowId: 'deposit:o-1',
};

/** Books whose results the test releases. */
function books() {
  const asked: unknown[] = [];
  const answers: (() => void)[] = [];
  const query = (_: string, values: [string]) =>
    new Promise((resolve) => {
      asked.push(...(JSON.parse(values[0]) as unknown[]));
      answers.push(() => resolve({ rows: [{ outcome: 'posted', id: '1', posted_at: null }] }));
    });
  return { pool: { query } as unknown as pg.Pool, asked, answer: () => answers.shift()!() };
}

describe('a credit', () => {
  it('is asked for with every fact of its item, and with null for a time that a history of before has not', async () => {
    const { pool, asked, answer } = books();
    for (const receivedAt of ['2026-03-01T12:00:00.000Z', undefined]) {
      const credited = creditAll(pool, [{ ...item, ...(receivedAt === undefined ? {} : { receivedAt }) }]);
      answer();
      expect(await credited).toEqual([{ outcome: 'posted', postingId: '1', postedAt: null }]);
    }
    const row = {
      inbox_id: '7',
      deposit: 'o-1',
      wallet: 'w-1',
      provider_code: 'T-1',
      amount: '5000',
      fiat: 'CNY',
      fiat_amount: '36000',
      late: false,
    };
    expect(asked).toEqual([
      { ...row, received_at: '2026-03-01T12:00:00.000Z' },
      { ...row, received_at: null },
    ]);
  });

  it('that makes no price is a defect that names the text', () => {
    expect(priceOf(item)).toBe('7.2');
    expect(() => priceOf({ ...item, paymentPrice: 'x' })).toThrow(new RangeError('paymentPrice: not a decimal number'));
  });

  it('is waited for by a drain', async () => {
    const { pool, answer } = books();
    const credit = createCreditor(pool);
    const said: string[] = [];
    const credited = credit(item).then(() => said.push('credited'));
    const drained = credit.drain().then(() => said.push('drained'));
    await new Promise((resolve) => void setImmediate(resolve));
    expect(said).toEqual([]);
    answer();
    await Promise.all([credited, drained]);
    expect(said.toSorted()).toEqual(['credited', 'drained']);
  });
});

it.each([
  ['0', '1'],
  ['1', '0'],
  ['-1', '1'],
  ['01', '1'],
  ['1', 'a'],
  ['1a', '1'],
  ['1', '1'.repeat(19)],
  ['', '1'],
])('a decision that names no rows is refused, and nobody is asked: %s, %s', async (proposalId, confirmationId) => {
  const names = { workflowId: 'review:1', proposalId, confirmationId };
  expect(await carryOutDecision({} as pg.Pool, names, () => Promise.resolve(true))).toEqual({
    kind: 'refused',
    refusal: 'not_written',
    detail: 'no rows are named',
  });
});
