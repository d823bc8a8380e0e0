import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatUnits } from '../../domain/money.ts';
import { slipWarnings } from '../../domain/decimal-slip.ts';

const byMtc = (mtcAmount: string) =>
  ({ buyCoinMode: 'MtcAmount', mtcAmount, totalPrice: null, currencyCode: 'CNY' }) as const;
const byPrice = (totalPrice: string) =>
  ({ buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice, currencyCode: 'CNY' }) as const;
const paid = (amount: string, paymentPrice: string) => ({ amount, paymentPrice, currencyCode: 'CNY' });

describe('a slip of the decimal point', () => {
  it.each([
    [
      'ten times the MTC',
      byMtc('5000'),
      paid('50000', '36000'),
      'far more than was ordered: 50000 MTC, and the order asked for 5000 MTC',
    ],
    [
      'a tenth of the MTC',
      byMtc('5000'),
      paid('500', '36000'),
      'far less than was ordered: 500 MTC, and the order asked for 5000 MTC',
    ],
    [
      'ten times the price',
      byPrice('32551.2'),
      paid('4521', '325512'),
      'far more than was ordered: 325512 CNY, and the order asked for 32551.2 CNY',
    ],
    [
      'a tenth of the price',
      byPrice('32551.2'),
      paid('4521', '3255.12'),
      'far less than was ordered: 3255.12 CNY, and the order asked for 32551.2 CNY',
    ],
    [
      'exactly twice',
      byMtc('5000'),
      paid('10000', '36000'),
      'far more than was ordered: 10000 MTC, and the order asked for 5000 MTC',
    ],
    [
      'exactly half',
      byMtc('5000'),
      paid('2500', '36000'),
      'far less than was ordered: 2500 MTC, and the order asked for 5000 MTC',
    ],
  ] as const)('%s is told with both numbers', (_, asked, came, warning) => {
    expect(slipWarnings(asked, came)).toEqual([warning]);
  });

  it.each([
    ['what was asked', byMtc('5000'), paid('5000', '36000')],
    ['a little less than twice', byMtc('5000'), paid('9999.99999999', '36000')],
    ['a little more than half', byMtc('5000'), paid('2500.00000001', '36000')],
    ['the price in mode MtcAmount, which was not asked', byMtc('5000'), paid('5000', '1')],
    ['the MTC in mode PaymentPrice, which were not asked', byPrice('36000'), paid('1', '36000')],
  ] as const)('%s is no reason to warn', (_, asked, came) => {
    expect(slipWarnings(asked, came)).toEqual([]);
  });

  it('is told whichever way it went, and only from a factor of two on', () => {
    const units = fc.bigInt({ min: 1n, max: 10n ** 22n });
    fc.assert(
      fc.property(units, units, (a, b) => {
        const [asked, came] = [formatUnits(a), formatUnits(b)];
        const [there, back] = [
          slipWarnings(byMtc(asked), paid(came, '1')),
          slipWarnings(byMtc(came), paid(asked, '1')),
        ];
        expect(there.length).toBe(a >= 2n * b || b >= 2n * a ? 1 : 0);
        expect(back.length).toBe(there.length);
      }),
    );
  });
});

it.each([
  ['MTC asked', { ...byMtc('1'), mtcAmount: null }, paid('1', '1')],
  ['MTC received', byMtc('1'), paid('x', '1')],
  ['price asked', { ...byPrice('1'), totalPrice: null }, paid('1', '1')],
  ['price paid', byPrice('1'), paid('1', 'x')],
] as const)('a text that nobody checked is a defect that names it: %s', (name, asked, came) => {
  expect(() => slipWarnings(asked, came)).toThrow(new RangeError(`${name}: not a decimal number`));
});
