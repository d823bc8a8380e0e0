import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BuyCoinMode } from '../../../sandbox/orders/advertisements.ts';
import { type Decimal, decimal, toText } from '../../../sandbox/wire/decimal.ts';
import { type Fees, feesSchema, NO_FEES } from '../../../sandbox/orders/fees.ts';
import { quote } from '../../../sandbox/orders/quote.ts';

const MTC_DECIMALS = 8;

/** In units of 10^-scale, so that sums are sums of whole numbers. */
const units = (a: Decimal, scale: number): bigint => {
  expect(a.scale).toBeLessThanOrEqual(scale);
  return a.digits * 10n ** BigInt(scale - a.scale);
};

const fees: fc.Arbitrary<Fees> = fc.record({
  percent: fc.integer({ min: 0, max: 999_999 }).map((n) => toText({ digits: BigInt(n), scale: 4 }, 0)),
  fixed: fc.integer({ min: 0, max: 10_000 }).map((n) => toText({ digits: BigInt(n), scale: 3 }, 0)),
  borneBy: fc.constantFrom('payer', 'merchant'),
  report: fc.constantFrom('gross', 'net'),
});
const order = fc.record({
  mode: fc.constantFrom<BuyCoinMode>('MtcAmount', 'PaymentPrice'),
  asked: fc.bigInt({ min: 1n, max: 10n ** 12n }),
  unitPrice: fc.bigInt({ min: 1n, max: 10n ** 8n }).map((digits): Decimal => ({ digits, scale: 4 })),
  fees,
});

describe('no unit is created or lost', () => {
  test('whatever is asked, at whatever price and fee', () => {
    let quoted = 0;
    fc.assert(
      fc.property(order, ({ mode, asked, unitPrice, fees: taken }) => {
        const amount = { digits: asked, scale: mode === 'MtcAmount' ? MTC_DECIMALS : 2 };
        const found = quote(mode, amount, unitPrice, MTC_DECIMALS, taken);
        if (found === null) return;
        quoted += 1;
        const mtc = units(found.mtcAmount, MTC_DECIMALS);
        const feeMtc = units(found.feeMtc, MTC_DECIMALS);
        const total = units(found.totalPrice, 2);
        const feePrice = units(found.feePrice, 2);
        const reported = units(found.reportedAmount, MTC_DECIMALS);
        // The requested side is unchanged, and every part is at least nothing and less than the whole.
        expect(mode === 'MtcAmount' ? mtc : total).toBe(asked);
        expect(mtc > 0n && total > 0n && feeMtc >= 0n && feeMtc < mtc && feePrice >= 0n && feePrice < total).toBe(true);
        expect(taken.borneBy === 'payer' ? feeMtc : feePrice).toBe(0n);
        expect(reported).toBe(taken.report === 'net' ? mtc - feeMtc : mtc);
        // price * 10^12 against MTC * unit price: exact to half a cent, or within one unit of MTC below.
        const price = (total - feePrice) * 10n ** 10n;
        const exact = mtc * unitPrice.digits;
        const halfCent = 10n ** 10n / 2n;
        if (mode === 'MtcAmount') expect(price - exact <= halfCent && price - exact > -halfCent).toBe(true);
        else expect(exact <= price && price < exact + unitPrice.digits).toBe(true);
      }),
      { numRuns: 5_000 },
    );
    expect(quoted).toBeGreaterThan(1_000);
  });

  test('a payer’s fee inside a price leaves the most MTC whose fee still fits', () => {
    const cents = (text: string): bigint => units(decimal(text), 2);
    const taken: Fees = { percent: '1.5', fixed: '0', borneBy: 'payer', report: 'net' };
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 10_000_000 }), (asked) => {
        const found = quote('PaymentPrice', { digits: BigInt(asked), scale: 2 }, decimal('1'), 2, taken)!;
        const price = BigInt(asked) - cents(toText(found.feePrice, 2));
        // price * 1.015 <= asked < (price + 1) * 1.015
        expect(price * 1015n <= BigInt(asked) * 1000n && BigInt(asked) * 1000n < (price + 1n) * 1015n).toBe(true);
      }),
    );
  });
});

describe('the documents’ examples', () => {
  test.each<[BuyCoinMode, string, Partial<Fees>, Record<string, string>]>([
    [
      'MtcAmount',
      '5000',
      {},
      { mtcAmount: '5000.00', totalPrice: '36000.00', feeMtc: '0.00', reportedAmount: '5000.00' },
    ],
    ['PaymentPrice', '32551.20', {}, { mtcAmount: '4521.00', totalPrice: '32551.20', feePrice: '0.00' }],
    ['MtcAmount', '5000', { percent: '1.5' }, { totalPrice: '36000.00', feeMtc: '75.00', reportedAmount: '4925.00' }],
    [
      'MtcAmount',
      '5000',
      { percent: '1', fixed: '2.5', report: 'gross' },
      { feeMtc: '52.50', totalPrice: '36000.00', reportedAmount: '5000.00' },
    ],
    [
      'MtcAmount',
      '5000',
      { percent: '1', fixed: '2.5', borneBy: 'payer' },
      { totalPrice: '36378.00', feePrice: '378.00', feeMtc: '0.00', reportedAmount: '5000.00' },
    ],
    [
      'PaymentPrice',
      '36378.00',
      { percent: '1', fixed: '2.5', borneBy: 'payer' },
      { mtcAmount: '5000.00', feePrice: '378.00', reportedAmount: '5000.00' },
    ],
    ['PaymentPrice', '32551.20', { fixed: '1' }, { mtcAmount: '4521.00', feeMtc: '1.00', reportedAmount: '4520.00' }],
  ])('%s %s with fee %o', (mode, asked, fee, expected) => {
    const found = quote(mode, decimal(asked), decimal('7.2'), MTC_DECIMALS, feesSchema.parse({ ...NO_FEES, ...fee }))!;
    const texts = Object.fromEntries(Object.entries(found).map(([name, value]) => [name, toText(value, 2)]));
    expect(texts).toMatchObject(expected);
  });
});

test('a fee that takes everything leaves no order', () => {
  const taken: Fees = { percent: '0', fixed: '5', borneBy: 'merchant', report: 'net' };
  expect(quote('MtcAmount', decimal('5'), decimal('7.2'), 8, taken)).toBeNull();
  expect(quote('PaymentPrice', decimal('36'), decimal('7.2'), 8, { ...taken, borneBy: 'payer' })).toBeNull();
  expect(quote('MtcAmount', decimal('5.00000001'), decimal('7.2'), 8, taken)).not.toBeNull();
});
