import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, type PaymentFacts, type Verdict } from '../../domain/judge.ts';
import { formatUnits, known, parseFiat, parseMtc, unitPrice } from '../../domain/money.ts';
import { CURRENCIES, type Currency, type DepositSettings, type Order } from '../../domain/order.ts';
import { order, paid, settings } from '../support/builders.ts';

const UNIT = 1n;
const CENT = 1_000_000n;
const plus = (amount: string, more: bigint) => formatUnits(known(parseMtc(amount), 'amount') + more);

const EXPIRES_AT = '2026-03-01T12:30:00.000Z';
const facts = (callback: PaymentFacts['callback'], change: Partial<PaymentFacts> = {}): PaymentFacts => ({
  callback,
  receivedAt: '2026-03-01T12:05:00.000Z',
  expiresAt: EXPIRES_AT,
  ...change,
});

const byMtc = (mtcAmount: string, currencyCode: Currency) => order({ mtcAmount, currencyCode });
const byPrice = (totalPrice: string, currencyCode: Currency) =>
  order({ buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice, currencyCode });

interface Payment {
  readonly mtc: string;
  readonly fiat: string;
  readonly currency?: Currency;
}
const judged = (asked: Order, { mtc, fiat, currency }: Payment, change: Partial<DepositSettings> = {}): Verdict =>
  judge(
    settings(change),
    asked,
    facts(paid(asked, { transactionAmount: mtc, paymentPrice: fiat, ...(currency && { currencyCode: currency }) })),
  );
const reason = (verdict: Verdict) => (verdict.kind === 'review' ? verdict.reason : 'credit');

describe('a good payment', () => {
  it.each([
    ['5,000 MTC at 7.2 CNY', byMtc('5000', 'CNY'), { mtc: '5000', fiat: '36000' }],
    ['32,551.20 CNY at 7.2', byPrice('32551.2', 'CNY'), { mtc: '4521', fiat: '32551.2' }],
    ['1 MTC at 7.8 HKD', byMtc('1', 'HKD'), { mtc: '1', fiat: '7.8' }],
    ['100 HKD at about 7.8', byPrice('100', 'HKD'), { mtc: '12.82051282', fiat: '100' }],
    ['0.5 MTC at 32 TWD', byMtc('0.5', 'TWD'), { mtc: '0.5', fiat: '16' }],
    ['1,000 TWD at 32', byPrice('1000', 'TWD'), { mtc: '31.25', fiat: '1000' }],
  ])('is credited with what the callback says: %s', (_, asked, payment) => {
    expect(judged(asked, payment)).toEqual({ kind: 'credit', late: false, amount: payment.mtc });
  });
});

describe.each(CURRENCIES)('T6: the rate band of %s', (currency) => {
  const { from, to } = settings().rateBands[currency];
  /** The price of a thousand MTC at that rate. */
  const thousand = (rate: string) => formatUnits(known(parseMtc(rate), 'rate') * 1_000n);
  const low = thousand(from);
  const high = thousand(to);

  it.each([
    ['at the lower end', low, 'credit'],
    ['one cent inside the lower end', plus(low, CENT), 'credit'],
    ['one cent below the lower end', plus(low, -CENT), 'RATE_OUT_OF_BAND'],
    ['at the upper end', high, 'credit'],
    ['one cent inside the upper end', plus(high, -CENT), 'credit'],
    ['one cent above the upper end', plus(high, CENT), 'RATE_OUT_OF_BAND'],
  ])('decides on the price when the MTC were fixed: %s', (_, fiat, expected) => {
    expect(reason(judged(byMtc('1000', currency), { mtc: '1000', fiat }))).toBe(expected);
  });

  it.each([
    ['as many MTC as the lower end gives', low, '1000', 'credit'],
    ['one unit fewer', low, plus('1000', -UNIT), 'credit'],
    ['one unit more', low, plus('1000', UNIT), 'RATE_OUT_OF_BAND'],
    ['as few MTC as the upper end gives', high, '1000', 'credit'],
    ['one unit more', high, plus('1000', UNIT), 'credit'],
    ['one unit fewer', high, plus('1000', -UNIT), 'RATE_OUT_OF_BAND'],
  ])('decides on the MTC when the price was fixed: %s', (_, fiat, mtc, expected) => {
    expect(reason(judged(byPrice(fiat, currency), { mtc, fiat }))).toBe(expected);
  });

  it('tells people the rate and the band', () => {
    const rate = plus(to, CENT / 1_000n);
    expect(judged(byMtc('1000', currency), { mtc: '1000', fiat: plus(high, CENT) })).toMatchObject({
      detail: `${rate} ${currency} per MTC, allowed ${from} to ${to}`,
    });
  });

  it('is compared exactly: a price that would round into it stays outside', () => {
    const billion = '1000000000';
    const tooMuch = plus(formatUnits(known(parseMtc(to), 'rate') * 1_000_000_000n), CENT);
    expect(formatUnits(unitPrice(known(parseFiat(tooMuch), 'fiat'), known(parseMtc(billion), 'MTC')))).toBe(to);
    expect(reason(judged(byMtc(billion, currency), { mtc: billion, fiat: tooMuch }))).toBe('RATE_OUT_OF_BAND');
  });
});

describe('the rate band of another currency', () => {
  it('is not looked at', () => {
    const rateBands = { ...settings().rateBands, HKD: { from: '1', to: '100' }, TWD: { from: '1', to: '100' } };
    expect(reason(judged(byMtc('1000', 'CNY'), { mtc: '1000', fiat: '9000' }, { rateBands }))).toBe('RATE_OUT_OF_BAND');
  });
});

describe('the side the customer fixed', () => {
  it.each(CURRENCIES)('MTC: one unit more or less is for people, in %s', (currency) => {
    const { from } = settings().rateBands[currency];
    const fiat = formatUnits((known(parseMtc(from), 'rate') + CENT) * 1_000n);
    const asked = byMtc('1000', currency);
    expect(reason(judged(asked, { mtc: '1000', fiat }))).toBe('credit');
    expect(reason(judged(asked, { mtc: plus('1000', UNIT), fiat }))).toBe('AMOUNT_MISMATCH');
    expect(reason(judged(asked, { mtc: plus('1000', -UNIT), fiat }))).toBe('AMOUNT_MISMATCH');
  });

  it.each(CURRENCIES)('price: one cent more or less is for people, in %s', (currency) => {
    const { to } = settings().rateBands[currency];
    const fiat = formatUnits((known(parseMtc(to), 'rate') - CENT) * 1_000n);
    const asked = byPrice(fiat, currency);
    expect(reason(judged(asked, { mtc: '1000', fiat }))).toBe('credit');
    expect(reason(judged(asked, { mtc: '1000', fiat: plus(fiat, CENT) }))).toBe('PRICE_MISMATCH');
    expect(reason(judged(asked, { mtc: '1000', fiat: plus(fiat, -CENT) }))).toBe('PRICE_MISMATCH');
  });

  it('says what was paid and what was asked', () => {
    expect(judged(byMtc('5000', 'CNY'), { mtc: '2000', fiat: '36000' })).toEqual({
      kind: 'review',
      late: false,
      reason: 'AMOUNT_MISMATCH',
      detail: 'received 2000 MTC, asked 5000',
    });
    expect(judged(byPrice('32551.2', 'CNY'), { mtc: '4521', fiat: '1' })).toEqual({
      kind: 'review',
      late: false,
      reason: 'PRICE_MISMATCH',
      detail: 'paid 1 CNY, asked 32551.2',
    });
  });

  it('T9: a small payment that claims a large order is for people', () => {
    expect(reason(judged(byPrice('36000', 'CNY'), { mtc: '5000', fiat: '7.2' }))).toBe('PRICE_MISMATCH');
    expect(reason(judged(byMtc('5000', 'CNY'), { mtc: '5000', fiat: '7.2' }))).toBe('RATE_OUT_OF_BAND');
  });
});

describe('the fee band', () => {
  const onePercent = { feeBand: '0.01' };
  it.each([
    ['nothing kept', '5000', 'credit'],
    ['all that is allowed kept', '4950', 'credit'],
    ['one unit more kept than allowed', '4949.99999999', 'AMOUNT_MISMATCH'],
    ['one unit more than asked', '5000.00000001', 'AMOUNT_MISMATCH'],
  ])('lets the received MTC fall short, never exceed: %s', (_, mtc, expected) => {
    expect(reason(judged(byMtc('5000', 'CNY'), { mtc, fiat: '36000' }, onePercent))).toBe(expected);
  });

  it('credits what was received, not what was asked', () => {
    expect(judged(byMtc('5000', 'CNY'), { mtc: '4950', fiat: '36000' }, onePercent)).toMatchObject({ amount: '4950' });
  });

  it('is rounded down: a share of less than one unit allows nothing', () => {
    const rateBands = { ...settings().rateBands, CNY: { from: '1', to: '99000000' } };
    const asked = byMtc('0.00000002', 'CNY');
    const payment = { mtc: '0.00000001', fiat: '0.01' };
    expect(reason(judged(asked, payment, { feeBand: '0.5', rateBands }))).toBe('credit');
    expect(reason(judged(asked, payment, { feeBand: '0.49', rateBands }))).toBe('AMOUNT_MISMATCH');
  });

  it('does not loosen the price when the price was fixed', () => {
    expect(reason(judged(byPrice('36000', 'CNY'), { mtc: '5000', fiat: '35999.99' }, onePercent))).toBe(
      'PRICE_MISMATCH',
    );
  });

  it('does not loosen the rate band', () => {
    expect(reason(judged(byMtc('5000', 'CNY'), { mtc: '4950', fiat: '40000' }, onePercent))).toBe('RATE_OUT_OF_BAND');
  });

  it('may be another for one currency; the others keep the common one', () => {
    const own = { ...onePercent, feeBands: { HKD: '0.02' } };
    expect(reason(judged(byMtc('5000', 'HKD'), { mtc: '4900', fiat: '39000' }, own))).toBe('credit');
    expect(reason(judged(byMtc('5000', 'HKD'), { mtc: '4899.99999999', fiat: '39000' }, own))).toBe('AMOUNT_MISMATCH');
    expect(reason(judged(byMtc('5000', 'CNY'), { mtc: '4950', fiat: '36000' }, own))).toBe('credit');
    expect(reason(judged(byMtc('5000', 'CNY'), { mtc: '4949.99999999', fiat: '36000' }, own))).toBe('AMOUNT_MISMATCH');
  });

  it('T6: ends at an exact unit, whatever was asked and whatever the share', () => {
    const wide = {
      CNY: { from: '0.00000001', to: '999999999999999' },
      HKD: { from: '1', to: '2' },
      TWD: { from: '1', to: '2' },
    };
    fc.assert(
      fc.property(
        fc.bigInt({ min: 100_000_000n, max: 10n ** 15n }),
        fc.bigInt({ min: 0n, max: 99_000_000n }),
        (asked, share) => {
          // The least allowed amount, by ceiling division: asked × (1 − share), never a part of a unit less.
          const least = (asked * (100_000_000n - share) + 99_999_999n) / 100_000_000n;
          const received = (units: bigint) =>
            reason(
              judged(
                byMtc(formatUnits(asked), 'CNY'),
                { mtc: formatUnits(units), fiat: '1000' },
                {
                  feeBand: formatUnits(share),
                  rateBands: wide,
                },
              ),
            );
          expect(received(least)).toBe('credit');
          expect(received(asked)).toBe('credit');
          expect(received(least - 1n)).toBe('AMOUNT_MISMATCH');
          expect(received(asked + 1n)).toBe('AMOUNT_MISMATCH');
        },
      ),
    );
  });

  it('tells people the range', () => {
    expect(judged(byMtc('5000', 'CNY'), { mtc: '4949', fiat: '36000' }, onePercent)).toMatchObject({
      detail: 'received 4949 MTC, asked 4950 to 5000',
    });
  });
});

describe('T6: the cap of one deposit', () => {
  const capped = { creditCap: '5000' };
  it.each([
    ['the cap itself is credited', '5000', 'credit'],
    ['one unit below is credited', '4999.99999999', 'credit'],
    ['one unit above is for people', '5000.00000001', 'ABOVE_CAP'],
  ])('when the price was fixed: %s', (_, mtc, expected) => {
    expect(reason(judged(byPrice('36000', 'CNY'), { mtc, fiat: '36000' }, capped))).toBe(expected);
  });

  it('holds when the MTC were fixed as well, and tells people both numbers', () => {
    expect(judged(byMtc('5000.01', 'CNY'), { mtc: '5000.01', fiat: '36000' }, capped)).toEqual({
      kind: 'review',
      late: false,
      reason: 'ABOVE_CAP',
      detail: 'received 5000.01 MTC, cap 5000',
    });
  });

  it('is no excuse for what does not fit: that is told first', () => {
    expect(reason(judged(byMtc('6000', 'CNY'), { mtc: '7000', fiat: '36000' }, capped))).toBe('AMOUNT_MISMATCH');
    expect(reason(judged(byMtc('6000', 'CNY'), { mtc: '6000', fiat: '60000' }, capped))).toBe('RATE_OUT_OF_BAND');
  });

  it('is none when the deposit was created without one', () => {
    expect(reason(judged(byMtc('100000000', 'CNY'), { mtc: '100000000', fiat: '720000000' }))).toBe('credit');
  });
});

describe('T8: another currency than ordered', () => {
  const anyRate = { from: '0.00000001', to: '100000000' };
  const rateBands = { CNY: anyRate, HKD: anyRate, TWD: anyRate };
  const swaps = CURRENCIES.flatMap((asked) => CURRENCIES.filter((c) => c !== asked).map((got) => ({ asked, got })));
  it.each(swaps)('is for people, even when every number fits: $got for $asked', ({ asked, got }) => {
    for (const wanted of [byMtc('1000', asked), byPrice('7200', asked)]) {
      expect(judged(wanted, { mtc: '1000', fiat: '7200', currency: got }, { rateBands })).toEqual({
        kind: 'review',
        late: false,
        reason: 'CURRENCY_MISMATCH',
        detail: `paid in ${got}, ordered in ${asked}`,
      });
      expect(reason(judged(wanted, { mtc: '1000', fiat: '7200' }, { rateBands }))).toBe('credit');
    }
  });
});

describe('a late payment', () => {
  const asked = byMtc('5000', 'CNY');
  const at = (receivedAt: string, latePolicy: 'credit' | 'review', expiresAt: string | null = EXPIRES_AT) =>
    judge(settings({ latePolicy }), asked, facts(paid(asked), { receivedAt, expiresAt }));
  const LAST = EXPIRES_AT;
  const AFTER = '2026-03-01T12:30:00.001Z';

  it.each(['credit', 'review'] as const)('received in the last millisecond is in time, by the policy %s', (policy) => {
    expect(at(LAST, policy)).toEqual({ kind: 'credit', late: false, amount: '5000' });
  });

  it('received one millisecond later is credited and flagged by default', () => {
    expect(at(AFTER, 'credit')).toEqual({ kind: 'credit', late: true, amount: '5000' });
  });

  it('received one millisecond later is for people by the other policy', () => {
    expect(at(AFTER, 'review')).toEqual({
      kind: 'review',
      late: true,
      reason: 'LATE',
      detail: `received ${AFTER}, payment window ended ${EXPIRES_AT}`,
    });
  });

  it.each(['credit', 'review'] as const)(
    'is never late when no payment window is known, by the policy %s',
    (policy) => {
      expect(at('2030-01-01T00:00:00.000Z', policy, null)).toEqual({ kind: 'credit', late: false, amount: '5000' });
    },
  );

  it.each(['credit', 'review'] as const)(
    'that does not fit is reported for that, and flagged, by the policy %s',
    (p) => {
      const wrong = facts(paid(asked, { transactionAmount: '1' }), { receivedAt: AFTER });
      expect(judge(settings({ latePolicy: p }), asked, wrong)).toMatchObject({ reason: 'AMOUNT_MISMATCH', late: true });
    },
  );

  const NO_TIMES = ['x', '', '2026-13-01T00:00:00Z', '2026-03-01T25:00:00Z', 'NaN', '9'.repeat(30)];
  it.each(NO_TIMES)('a time that is no time is for people, whatever the policy: %j', (noTime) => {
    for (const policy of ['credit', 'review'] as const) {
      const verdicts = [at(LAST, policy, noTime), at(noTime, policy), at(noTime, policy, noTime)];
      for (const verdict of verdicts) expect(verdict).toMatchObject({ kind: 'review', reason: 'LATE', late: true });
    }
  });
});

describe('any payment', () => {
  const currency = fc.constantFrom(...CURRENCIES);
  const cents = (min: bigint, max: bigint) => fc.bigInt({ min, max }).map((n) => formatUnits(n * CENT));
  const nudge = (weight: number) =>
    fc.oneof({ weight, arbitrary: fc.constant(0n) }, { weight: 1, arbitrary: fc.bigInt({ min: -2n, max: 2n }) });
  /** Near enough to the bands and to the order that both verdicts are common. */
  const anything = fc.record({
    byMtc: fc.boolean(),
    currency,
    paidIn: fc.oneof({ weight: 1, arbitrary: currency }, { weight: 4, arbitrary: fc.constant(null) }),
    asked: fc.bigInt({ min: 1n, max: 2_000n }),
    kept: fc.constantFrom(0n, 0n, 0n, 1n, 2n, 50n, 51n),
    tenths: fc.bigInt({ min: 60n, max: 380n }),
    fixedNudge: nudge(4),
    otherNudge: nudge(1),
    feeBand: fc.constantFrom('0', '0.01', '0.5'),
  });

  it('is credited with its own amount or not at all, and only if it fits in whole numbers', () => {
    let credited = 0;
    fc.assert(
      fc.property(anything, (p) => {
        const paidIn = p.paidIn ?? p.currency;
        const asked = p.byMtc ? byMtc(`${p.asked}`, p.currency) : byPrice(`${p.asked}`, p.currency);
        const wantedUnits = p.asked * 100_000_000n;
        const units = p.byMtc
          ? (wantedUnits * (100n - p.kept)) / 100n + p.fixedNudge
          : (wantedUnits * 10n) / p.tenths + p.otherNudge;
        const cents = p.byMtc ? p.asked * p.tenths * 10n + p.otherNudge : p.asked * 100n + p.fixedNudge;
        const payment = { mtc: formatUnits(units), fiat: formatUnits(cents * CENT), currency: paidIn };
        const verdict = judged(asked, payment, { feeBand: p.feeBand });

        // The same rules, computed without the code under test: whole units, whole cents, tenths of a rate.
        const [low, high] = { CNY: [65n, 80n], HKD: [70n, 86n], TWD: [280n, 360n] }[p.currency] as [bigint, bigint];
        const inBand = low * units <= cents * 10_000_000n && cents * 10_000_000n <= high * units;
        const percent = { '0': 0n, '0.01': 1n, '0.5': 50n }[p.feeBand];
        const fixed = p.byMtc
          ? units <= wantedUnits && units * 100n >= wantedUnits * (100n - percent)
          : cents === p.asked * 100n;
        expect(verdict.kind).toBe(paidIn === p.currency && fixed && inBand ? 'credit' : 'review');
        if (verdict.kind === 'credit') {
          credited += 1;
          expect(verdict.amount).toBe(payment.mtc);
        }
      }),
      { numRuns: 5_000 },
    );
    // Otherwise the property would not cover credits.
    expect(credited).toBeGreaterThan(100);
  });

  /** A payment in the middle of its band, in either mode. */
  const good = fc
    .record({ mode: fc.constantFrom('MtcAmount', 'PaymentPrice'), currency, mtc: cents(1_000n, 10_000_000n) })
    .map(({ mode, currency, mtc }) => {
      const middle = { CNY: 7n, HKD: 8n, TWD: 32n }[currency];
      const fiat = formatUnits(known(parseFiat(mtc), 'mtc') * middle);
      return { asked: mode === 'MtcAmount' ? byMtc(mtc, currency) : byPrice(fiat, currency), mtc, fiat, currency };
    });
  const delta = (unit: bigint) =>
    fc
      .bigInt({ min: -999n, max: 999n })
      .filter((n) => n !== 0n)
      .map((n) => n * unit);

  it('that is good is for people once any fixed side of it changes by anything', () => {
    fc.assert(
      fc.property(good, delta(UNIT), delta(CENT), (payment, units, cents) => {
        const { asked, mtc, fiat } = payment;
        expect(reason(judged(asked, payment))).toBe('credit');
        const changed =
          asked.buyCoinMode === 'MtcAmount' ? { mtc: plus(mtc, units), fiat } : { mtc, fiat: plus(fiat, cents) };
        const expected = asked.buyCoinMode === 'MtcAmount' ? 'AMOUNT_MISMATCH' : 'PRICE_MISMATCH';
        expect(reason(judged(asked, changed))).toBe(expected);
      }),
    );
  });

  it('that is good is for people once its other side leaves the band, or its currency changes', () => {
    fc.assert(
      fc.property(good, fc.integer({ min: 2, max: 1_000 }), fc.boolean(), (payment, factor, more) => {
        const { asked, mtc, fiat, currency } = payment;
        const scaled = (amount: string, unit: bigint) => {
          const whole = known(parseMtc(amount), 'amount');
          return formatUnits(more ? whole * BigInt(factor) : (whole / BigInt(factor) / unit) * unit + unit);
        };
        const changed =
          asked.buyCoinMode === 'MtcAmount' ? { mtc, fiat: scaled(fiat, CENT) } : { mtc: scaled(mtc, UNIT), fiat };
        expect(reason(judged(asked, changed))).toBe('RATE_OUT_OF_BAND');
        for (const other of CURRENCIES.filter((c) => c !== currency)) {
          expect(reason(judged(asked, { mtc, fiat, currency: other }))).toBe('CURRENCY_MISMATCH');
        }
      }),
    );
  });
});

describe('what the judge cannot read', () => {
  it.each([
    ['transactionAmount', { transactionAmount: '1e3' }],
    ['transactionAmount', { transactionAmount: '0' }],
    ['paymentPrice', { paymentPrice: '36000.001' }],
  ])('is a defect of ours and is thrown with the name of the field: %s', (field, change) => {
    const asked = byMtc('5000', 'CNY');
    expect(() => judge(settings(), asked, facts(paid(asked, change)))).toThrow(new RegExp(`^${field}: `));
  });
});

describe('a text that nobody checked', () => {
  const [mtc, fiat] = [byMtc('5000', 'CNY'), byPrice('36000', 'CNY')];
  const good = { mtc: '5000', fiat: '36000' };
  const band = (from: string, to: string) => ({ rateBands: { ...settings().rateBands, CNY: { from, to } } });
  it.each<[string, Order, Payment, Partial<DepositSettings>]>([
    ['totalPrice', { ...fiat, totalPrice: null }, good, {}],
    ['paymentPrice', fiat, { ...good, fiat: 'x' }, {}],
    ['paymentPrice', mtc, { ...good, fiat: 'x' }, {}],
    ['mtcAmount', { ...mtc, mtcAmount: null }, good, {}],
    ['transactionAmount', mtc, { ...good, mtc: 'x' }, {}],
    ['transactionAmount', fiat, { ...good, mtc: 'x' }, {}],
    ['fee band', mtc, good, { feeBand: 'x' }],
    ['rate band', mtc, good, band('x', '8')],
    ['rate band', mtc, good, band('7', 'x')],
    ['credit cap', mtc, good, { creditCap: 'x' }],
  ])('is a defect that names it: %s %#', (name, asked, payment, change) => {
    expect(() => judged(asked, payment, change)).toThrow(new RangeError(`${name}: not a decimal number`));
  });
});
