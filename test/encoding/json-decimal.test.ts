import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plainDecimal } from '../../encoding/json-decimal.ts';

/** The value of a decimal text as a fraction over a power of ten, computed independently of the code. */
function exact(text: string): { readonly digits: bigint; readonly scale: bigint } {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)!;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const power = BigInt(exponent) - BigInt(fraction.length);
  return power >= 0n ? { digits: digits * 10n ** power, scale: 1n } : { digits, scale: 10n ** -power };
}
const isSame = (a: string, b: string): boolean => exact(a).digits * exact(b).scale === exact(b).digits * exact(a).scale;

describe('a JSON number with an exponent', () => {
  it.each([
    ['5E+3', '5000'],
    ['5e3', '5000'],
    ['5.0E3', '5000'],
    ['50000E-1', '5000.0'],
    ['0.5e4', '5000'],
    ['5000.000e0', '5000.000'],
    ['3.25512E+4', '32551.2'],
    ['1e-8', '0.00000001'],
    ['1.5E-3', '0.0015'],
    ['12e-2', '0.12'],
    ['0e5', '0'],
    ['-5e3', '-5000'],
    ['-0e0', '-0'],
    ['1e99', `1${'0'.repeat(99)}`],
    ['1e-99', `0.${'0'.repeat(98)}1`],
  ])('%s is %s', (written, plain) => {
    expect(plainDecimal(written)).toBe(plain);
  });

  it.each([
    ['an exponent of three digits', '1e100'],
    ['a negative one', '1e-100'],
    ['one beyond all numbers', '1e400'],
    ['16 digits before the point', '1234567890123456e-9'],
    ['31 digits behind it', `1.${'0'.repeat(31)}e1`],
    ['as many digits as a callback may have', `${'9'.repeat(16_000)}e1`],
  ])('beyond the bounds stays as it is: %s', (_, written) => {
    expect(plainDecimal(written)).toBe(written);
  });

  it.each(['5000', '200.00', '-1', '0.1', '', 'e3', '5e', '.5e1', '5.e1', '5e1.5', '5 e1', '５e1'])(
    'is told apart from what is none: %j',
    (written) => {
      expect(plainDecimal(written)).toBe(written);
    },
  );

  it('is exactly the same number, whatever its digits, and has no exponent any more', () => {
    const written = fc.stringMatching(/^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,30})?[eE][+-]?[0-9]{1,2}$/);
    fc.assert(
      fc.property(written, (text) => {
        const plain = plainDecimal(text);
        expect(plain).toMatch(/^-?(0|[1-9]\d*)(\.\d+)?$/);
        expect(isSame(plain, text), `${text} is not ${plain}`).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
