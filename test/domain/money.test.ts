import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Fiat,
  formatUnits,
  grouped,
  known,
  type Mtc,
  mulDivFloor,
  parseFiat,
  parseFraction,
  parseMtc,
  parseUnitPrice,
  UNITS_PER_ONE,
  unitPrice,
} from '../../domain/money.ts';

const mtc = (text: string) => known(parseMtc(text), 'MTC');
const fiat = (text: string) => known(parseFiat(text), 'fiat');
const price = (text: string) => known(parseUnitPrice(text), 'price');

/** The largest amount the text form can hold: 15 digits before the point, 8 behind. */
const LARGEST = 10n ** 23n - 1n;
const units = fc.bigInt({ min: 1n, max: LARGEST });
const CANONICAL = /^(0|[1-9]\d*)(\.\d*[1-9])?$/;

describe('reading an amount', () => {
  it.each([
    ['1', 100_000_000n],
    ['0.00000001', 1n],
    ['32551.20', 3_255_120_000_000n],
    ['200.00', 20_000_000_000n],
    ['999999999999999.99999999', LARGEST],
    ['200.0000000000000', 20_000_000_000n],
  ])('reads %s exactly', (text, value) => {
    expect(parseMtc(text)).toEqual({ ok: true, value });
  });

  it.each([
    '',
    ' ',
    '+1',
    '-1',
    '-0',
    '1e3',
    '1E3',
    '2e2',
    '01',
    '00',
    '00.1',
    '.5',
    '1.',
    '.',
    '1.2.3',
    '1,000',
    '1 000',
    '1_000',
    ' 1',
    '1 ',
    '1\n',
    '\t1',
    '1\0',
    '\u00001',
    'NaN',
    'Infinity',
    '-Infinity',
    '1e400',
    '0x10',
    '0b1',
    '1n',
    '１',
    '٣',
    '1\u00a0',
    '1\u200b',
    '$1',
    'null',
    'true',
    '1234567890123456',
  ])('refuses %j as no decimal number, whatever it is to be', (text) => {
    const refused = { ok: false, fault: 'not a decimal number' };
    for (const parse of [parseMtc, parseFiat, parseUnitPrice, parseFraction]) expect(parse(text)).toEqual(refused);
  });

  it.each([
    { what: 'MTC', parse: parseMtc, text: '0.000000001' },
    { what: 'MTC', parse: parseMtc, text: '200.000000001' },
    { what: 'price', parse: parseUnitPrice, text: '7.123456789' },
    { what: 'share', parse: parseFraction, text: '0.000000001' },
    { what: 'fiat', parse: parseFiat, text: '200.005' },
    { what: 'fiat', parse: parseFiat, text: '0.001' },
    { what: 'fiat', parse: parseFiat, text: '32551.201' },
  ])('refuses $text as $what for its further decimals and does not round', ({ parse, text }) => {
    expect(parse(text)).toEqual({ ok: false, fault: 'too many decimals' });
  });

  it('answers texts as long as a callback may be', () => {
    expect(parseMtc('1'.repeat(16_000))).toEqual({ ok: false, fault: 'not a decimal number' });
    expect(parseMtc(`1.${'0'.repeat(16_000)}1`)).toEqual({ ok: false, fault: 'too many decimals' });
    expect(parseMtc(`1.${'0'.repeat(16_000)}`)).toEqual({ ok: true, value: UNITS_PER_ONE });
  });

  it.each(['0', '0.0', '0.00000000', '0.0000000000'])('%s is no amount, but may be a share', (text) => {
    for (const parse of [parseMtc, parseFiat, parseUnitPrice]) {
      expect(parse(text)).toEqual({ ok: false, fault: 'not positive' });
    }
    expect(parseFraction(text)).toEqual({ ok: true, value: 0n });
  });

  it('gives legal currency two decimals and MTC eight', () => {
    expect(parseFiat('0.01')).toEqual({ ok: true, value: 1_000_000n });
    expect(parseFiat('0.010')).toEqual({ ok: true, value: 1_000_000n });
    expect(parseFiat('0.011').ok).toBe(false);
    expect(parseMtc('0.011').ok).toBe(true);
  });

  it('agrees with the digits as written, for any amount that fits', () => {
    const digits = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{0,${max}}$`));
    fc.assert(
      fc.property(fc.stringMatching(/^(0|[1-9][0-9]{0,14})$/), digits(8), (whole, fraction) => {
        const text = fraction === '' ? whole : `${whole}.${fraction}`;
        expect(parseFraction(text)).toEqual({ ok: true, value: BigInt(whole + fraction.padEnd(8, '0')) });
      }),
    );
  });

  it('answers any text at all, and accepts nothing that is not plain digits', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: fc.constantFrom(...'0123456789..-+eE \0'.split('')) }), fc.double().map(String)),
        (text) => {
          const parsed = parseFraction(text);
          if (parsed.ok) expect(text).toMatch(/^\d{1,15}(\.\d+)?$/);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('writing an amount', () => {
  it.each([
    [0n, '0'],
    [1n, '0.00000001'],
    [50_000_000n, '0.5'],
    [452_100_000_000n, '4521'],
    [3_255_120_000_000n, '32551.2'],
    [LARGEST, '999999999999999.99999999'],
    [-1n, '-0.00000001'],
    [-50_000_000n, '-0.5'],
  ])('writes %s units as %s', (value, text) => {
    expect(formatUnits(value)).toBe(text);
  });

  it('comes back as the same amount', () => {
    fc.assert(
      fc.property(units, (value) => {
        const text = formatUnits(value);
        expect(text).toMatch(CANONICAL);
        expect(parseMtc(text)).toEqual({ ok: true, value });
      }),
    );
  });

  it('writes every spelling of an amount alike', () => {
    fc.assert(
      fc.property(units, fc.nat(12), (value, zeros) => {
        const canonical = formatUnits(value);
        const padded = `${canonical}${canonical.includes('.') ? '' : '.0'}${'0'.repeat(zeros)}`;
        expect(formatUnits(mtc(padded))).toBe(canonical);
      }),
    );
  });

  it.each([
    ['0', '0'],
    ['999', '999'],
    ['1000', '1,000'],
    ['36000', '36,000'],
    ['32551.2', '32,551.2'],
    ['1234567.12345678', '1,234,567.12345678'],
    ['0.00000001', '0.00000001'],
  ])('groups %s as %s for people and leaves the decimals alone', (text, people) => {
    expect(grouped(text)).toBe(people);
  });
});

describe('dividing', () => {
  it('rounds down, once', () => {
    const positive = fc.bigInt({ min: 1n, max: LARGEST });
    fc.assert(
      fc.property(positive, positive, positive, (a, b, c) => {
        const quotient = mulDivFloor(a, b, c);
        expect(quotient * c <= a * b && a * b < (quotient + 1n) * c).toBe(true);
      }),
    );
  });

  it('makes the price that is not above what was paid, and less than one unit below', () => {
    fc.assert(
      fc.property(units, units, (paid, received) => {
        const made = unitPrice(paid as Fiat, received as Mtc);
        const exact = paid * UNITS_PER_ONE;
        expect(made * received <= exact && exact < (made + 1n) * received).toBe(true);
      }),
    );
  });

  it('finds any price again that was multiplied out', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 10n ** 12n }), fc.bigInt({ min: 1n, max: 10n ** 7n }), (each, whole) => {
        const received = (whole * UNITS_PER_ONE) as Mtc;
        expect(unitPrice((each * whole) as Fiat, received)).toBe(each);
      }),
    );
  });

  it('refuses to divide by nothing', () => {
    expect(() => mulDivFloor(1n, 1n, 0n)).toThrow(RangeError);
  });
});

describe("the provider's worked examples", () => {
  it('5,000 MTC at 7.2 cost 36,000 CNY', () => {
    expect(formatUnits(mulDivFloor(mtc('5000'), price('7.2'), UNITS_PER_ONE))).toBe('36000');
    expect(formatUnits(unitPrice(fiat('36000'), mtc('5000')))).toBe('7.2');
  });

  it('32,551.20 CNY at 7.2 buy 4,521.00 MTC', () => {
    expect(formatUnits(mulDivFloor(fiat('32551.20'), UNITS_PER_ONE, price('7.2')))).toBe('4521');
    expect(formatUnits(unitPrice(fiat('32551.20'), mtc('4521.00')))).toBe('7.2');
  });
});

describe('a text our own code has checked', () => {
  it('is answered as its value, or thrown with the name of what it was to be', () => {
    expect(known(parseMtc('1'), 'mtcAmount')).toBe(UNITS_PER_ONE);
    expect(() => known(parseMtc('1e3'), 'mtcAmount')).toThrow(new RangeError('mtcAmount: not a decimal number'));
  });
});
