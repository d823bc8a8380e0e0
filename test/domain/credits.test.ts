import { describe, expect, it } from 'vitest';
import { sumOf } from '../../domain/credits.ts';

const out = { postingId: '9', at: new Date(0), kept: true };
const credit = (amount: string, reversed: typeof out | null = null, rest: string | null = null) => ({
  amount,
  reversed,
  rest,
});

describe('what stands of a deposit’s credits', () => {
  it.each([
    ['nothing was ever credited', [], 'none', null],
    ['one payment stands', [credit('5000')], 'credited', '5000'],
    ['the one payment was taken out', [credit('5000', out)], 'none', '0'],
    [
      'taken out and put back: the older posting counts no more',
      [credit('5000', out), credit('5000')],
      'credited',
      '5000',
    ],
    ['two payments stand', [credit('5000'), credit('0.00000001')], 'more', '5000.00000001'],
    ['one of two was taken out', [credit('5000', out), credit('4999.5')], 'credited', '4999.5'],
    ['of the one payment a rest stays in suspense', [credit('5000', null, '100.5')], 'partly', '5000'],
    ['both were taken out', [credit('1', out), credit('2', out)], 'none', '0'],
  ] as const)('%s', (_, credits, standing, creditedAmount) => {
    expect(sumOf(credits)).toEqual({ standing, creditedAmount });
  });
});

it('an amount that nobody checked is a defect', () => {
  expect(() => sumOf([credit('x')])).toThrow(new RangeError('credit: not a decimal number'));
});
