import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openApiDocument } from '../../contract/openapi.ts';
import * as operations from '../../contract/deposits.ts';
import * as reviewOperations from '../../contract/reviews.ts';
import { proposeBody } from '../../contract/review-answers.ts';
import { createBody, listQuery } from '../../contract/requests.ts';
import { readBody } from '../../api/http/body.ts';
import { createChecker, type Document } from '../support/pages/document.ts';

const document: Document = openApiDocument(Object.values({ ...operations, ...reviewOperations }));
const checker = createChecker(document);

describe('what the document allows and what the API takes are the same', () => {
  const wild = fc.oneof(
    fc.string({ maxLength: 70 }),
    fc.string({ unit: 'binary', maxLength: 110 }).filter((text) => text.isWellFormed()),
    fc.constantFrom(
      '',
      ' ',
      '\u3000',
      '\ufeff',
      'a\u202eb',
      'x'.repeat(100),
      'x'.repeat(101),
      '👩'.repeat(100),
      '1',
      null,
      7,
    ),
  );
  const decimalText = fc.oneof(
    fc.stringMatching(/^[0-9]{0,17}\.?[0-9]{0,10}0{0,3}$/),
    fc.constantFrom(
      '0',
      '0.0',
      '00',
      '0.00000001',
      '0.000000001',
      '1.000000000',
      '999999999999999',
      '1000000000000000',
      '5.',
      '.5',
      '1e3',
      '0.01',
      '0.001',
    ),
  );
  const body = fc.record(
    {
      externalOrderNumber: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{0,66}$/), wild),
      wallet: fc.constantFrom('wallet-1', 'w w', 'x'.repeat(64)),
      buyCoinMode: fc.constantFrom('MtcAmount', 'PaymentPrice', 'mtcamount'),
      mtcAmount: decimalText,
      totalPrice: decimalText,
      currencyCode: fc.constantFrom('CNY', 'HKD', 'TWD', 'USD'),
      supportLanguage: fc.constantFrom('en', 'zh_CN', 'zh_TW', 'zh-CN'),
      payerRealName: wild,
      note: fc.string(),
    },
    { requiredKeys: [] },
  );
  const good = {
    externalOrderNumber: 'o-1',
    wallet: 'w',
    buyCoinMode: 'MtcAmount',
    mtcAmount: '1',
    currencyCode: 'CNY',
    supportLanguage: 'en',
    payerRealName: 'Li Ming',
  };
  const { mtcAmount: _, ...base } = good;
  const nearlyGood = fc.oneof(
    body,
    fc.record({ payerRealName: wild }).map((change) => ({ ...good, ...change })),
    decimalText.map((mtcAmount) => ({ ...good, mtcAmount })),
    decimalText.map((totalPrice) => ({ ...base, buyCoinMode: 'PaymentPrice', totalPrice })),
    fc.stringMatching(/^[A-Za-z0-9_-]{0,66}$/).map((externalOrderNumber) => ({ ...good, externalOrderNumber })),
  );
  const takes = (read: () => unknown): boolean => {
    try {
      read();
      return true;
    } catch {
      return false;
    }
  };

  test('for the body of a create', () => {
    let taken = 0;
    fc.assert(
      fc.property(nearlyGood, (value) => {
        const isTaken = takes(() => readBody(createBody, Buffer.from(JSON.stringify(value))));
        taken += isTaken ? 1 : 0;
        expect(isTaken).toBe(checker.fault('/components/schemas/CreateDeposit', value) === null);
      }),
      { numRuns: 3_000 },
    );
    expect(taken).toBeGreaterThan(300);
  });

  test('for the reason of a decision', () => {
    // A text may be shorter in its normal form: then the stored form has to be long enough.
    const reasons = fc.oneof(
      wild.filter((text) => typeof text !== 'string' || text.normalize('NFC') === text),
      fc.constantFrom(
        '客户付了两次',
        ' ab ',
        ' a b ',
        'two\u2028lines',
        '\u3000\u3000\u3000',
        'x'.repeat(1_000),
        'x'.repeat(1_001),
      ),
    );
    let taken = 0;
    fc.assert(
      fc.property(reasons, (reason) => {
        const value = { decision: 'credit', reason };
        const isTaken = takes(() => readBody(proposeBody, Buffer.from(JSON.stringify(value))));
        taken += isTaken ? 1 : 0;
        expect(isTaken).toBe(checker.fault('/components/schemas/Propose', value) === null);
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(300);
  });

  test('for where a page begins', () => {
    const at = document.paths['/v1/deposits'].get.parameters.findIndex((one: Document) => one.name === 'cursor');
    const day = fc.tuple(
      fc.integer({ min: 1990, max: 2110 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
    );
    const two = (number: number) => String(number).padStart(2, '0');
    fc.assert(
      fc.property(day, ([year, month, date]) => {
        const text = `${year}-${two(month)}-${two(date)}T00:00:00.000000Z~a`;
        const isTaken = listQuery.safeParse({ cursor: text }).success;
        expect(isTaken).toBe(checker.fault(`/paths/~1v1~1deposits/get/parameters/${at}/schema`, text) === null);
        const moment = new Date(`${text.slice(0, 10)}T00:00:00Z`);
        const isDay = !Number.isNaN(moment.getTime()) && moment.toISOString().startsWith(text.slice(0, 10));
        expect(isTaken).toBe(isDay && year >= 2000 && year < 2100);
      }),
      { numRuns: 3_000 },
    );
  });
});

/** As long as a body may be. A parser that rereads from every letter would block the process for 0.2 s. */
test.each([
  ['letters and a control', `${'x'.repeat(15_000)}\u0001`],
  ['words and a control', `${'x '.repeat(7_500)}\u0001`],
  ['spaces and a control', `x${' '.repeat(15_000)}\u0001`],
])('T16: a text of %s is refused in one pass', { timeout: 20_000 }, (_, text) => {
  for (let times = 0; times < 200; times += 1) {
    expect(createBody.shape.payerRealName.safeParse(text).success).toBe(false);
    expect(proposeBody.shape.reason.safeParse(text).success).toBe(false);
  }
});
