import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Decimal,
  decimal,
  overRoundedDown,
  parseDecimal,
  roundedHalfUp,
  significantDecimals,
  times,
  toText,
} from '../../../sandbox/wire/decimal.ts';
import { quote } from '../../../sandbox/orders/quote.ts';

/** Any decimal with up to `scale` decimals, zero left out. */
const positive = (maxScale: number): fc.Arbitrary<Decimal> =>
  fc.record({ digits: fc.bigInt({ min: 1n, max: 10n ** 15n }), scale: fc.integer({ min: 0, max: maxScale }) });

/** a <=> b, by cross multiplication: independent of the code. */
const compare = (a: Decimal, b: Decimal): bigint =>
  a.digits * 10n ** BigInt(b.scale) - b.digits * 10n ** BigInt(a.scale);

test.each(['', '-1', '+1', '1e3', '01', '1.', '.5', ' 1', '1 ', '0x1', 'NaN', '1'.repeat(16), '٣'])(
  '%j is not a plain decimal',
  (text) => {
    expect(parseDecimal(text)).toBeNull();
  },
);

test('a decimal is written with the decimals asked for and more only where they count', () => {
  expect(toText(decimal('200'), 2)).toBe('200.00');
  expect(toText(decimal('200.000000'), 2)).toBe('200.00');
  expect(toText(decimal('0.12345678'), 2)).toBe('0.12345678');
  expect(toText(decimal('0'), 2)).toBe('0.00');
  expect(toText(decimal('7.20'), 0)).toBe('7.2');
});

test('what is written is read as the same number', () => {
  fc.assert(
    fc.property(positive(8), fc.integer({ min: 0, max: 8 }), (value, decimals) => {
      expect(compare(decimal(toText(value, decimals)), value)).toBe(0n);
    }),
  );
});

test('half a cent rounds up, less does not', () => {
  expect(toText(roundedHalfUp(decimal('1.005'), 2), 2)).toBe('1.01');
  expect(toText(roundedHalfUp(decimal('1.00499999'), 2), 2)).toBe('1.00');
  expect(toText(roundedHalfUp(decimal('0.995'), 2), 2)).toBe('1.00');
});

test('a rounded price is the nearest cent to the exact one', () => {
  fc.assert(
    fc.property(positive(8), positive(4), (amount, price) => {
      const exact = times(amount, price);
      const rounded = roundedHalfUp(exact, 2);
      // |2 * (rounded - exact)| <= 0.01, in units of the exact product
      const difference = 2n * (rounded.digits * 10n ** BigInt(exact.scale) - exact.digits * 100n);
      const cent = 10n ** BigInt(exact.scale);
      expect(difference <= cent && difference > -cent).toBe(true);
    }),
  );
});

test('the MTC of a payment never cost more than was paid, and one unit more would', () => {
  fc.assert(
    fc.property(positive(2), positive(4), fc.integer({ min: 0, max: 8 }), (total, price, mtcDecimals) => {
      const mtc = overRoundedDown(total, price, mtcDecimals);
      const oneMore = { ...mtc, digits: mtc.digits + 1n };
      expect(compare(times(mtc, price), total) <= 0n).toBe(true);
      expect(compare(times(oneMore, price), total) > 0n).toBe(true);
      expect(significantDecimals(mtc) <= mtcDecimals).toBe(true);
    }),
  );
});

test('both worked examples of the documents hold to the cent', () => {
  const first = quote('MtcAmount', decimal('5000'), decimal('7.2'), 8)!;
  expect([toText(first.mtcAmount, 2), toText(first.totalPrice, 2)]).toEqual(['5000.00', '36000.00']);
  const second = quote('PaymentPrice', decimal('32551.20'), decimal('7.2'), 8)!;
  expect([toText(second.mtcAmount, 2), toText(second.totalPrice, 2)]).toEqual(['4521.00', '32551.20']);
});

test('an amount whose other side comes to nothing has no quote', () => {
  expect(quote('MtcAmount', decimal('0.0001'), decimal('7.2'), 8)).toBeNull();
  expect(quote('PaymentPrice', decimal('0.01'), decimal('7.2'), 2)).toBeNull();
});
