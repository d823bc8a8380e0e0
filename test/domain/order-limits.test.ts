import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { judge } from '../../domain/judge.ts';
import {
  formatUnits,
  known,
  parseFiat,
  parseFraction,
  parseMtc,
  parseUnitPrice,
  UNITS_PER_ONE,
} from '../../domain/money.ts';
import { CURRENCIES, type Currency, type DepositSettings, type Order } from '../../domain/order.ts';
import { type AskedOrder, type OrderFault, orderFault } from '../../domain/order-limits.ts';
import { priceOf } from '../../ledger/credit.ts';
import { readData, readEnvelope } from '../../providers/mtpay/callback.ts';
import { order, settings } from '../support/builders.ts';

const CENT = 1_000_000n;
const byMtc = (mtcAmount: string, currencyCode: Currency = 'CNY'): Order => order({ mtcAmount, currencyCode });
const byPrice = (totalPrice: string, currencyCode: Currency = 'CNY'): Order =>
  order({ buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice, currencyCode });
/** Settings with one band for every currency. */
const banded = (from: string, to: string, change: Partial<DepositSettings> = {}): DepositSettings =>
  settings({ rateBands: { CNY: { from, to }, HKD: { from, to }, TWD: { from, to } }, ...change });
const message = (asked: AskedOrder, under = settings()): string | undefined => orderFault(under, asked)?.message;

type Payment = OrderFault['payment'];

/** The payment in the provider's spelling, parsed again. */
function reading({ transactionAmount, paymentPrice }: Payment, currencyCode: Currency) {
  const numbers = `"transactionAmount":${transactionAmount},"paymentPrice":${paymentPrice}`;
  const texts = `"externalOrderNumber":"o","transactionCode":"AT1","currencyCode":"${currencyCode}"`;
  const times = '"transactionCreateTime":"2021-07-01T00:00:00","paymentFinishedTime":"2021-07-01T00:05:00"';
  return readData(readEnvelope(Buffer.from(`{"signature":"","timestamp":1,"data":{${texts},${numbers},${times}}}`)));
}

/** Null when the parsed payment equals the original and its unit price fits into the books. */
function trouble(payment: Payment, currencyCode: Currency): string | null {
  const read = reading(payment, currencyCode);
  if (!read.readable) return read.fault;
  const { transactionAmount, paymentPrice } = read.data;
  if (transactionAmount !== payment.transactionAmount || paymentPrice !== payment.paymentPrice) return 'read otherwise';
  const price = priceOf({ amount: transactionAmount, paymentPrice });
  if (price === '0') return 'no unit price';
  return price.split('.')[0]!.length > 20 ? 'a unit price beyond the books' : null;
}

/** The provider's possible payments at one rate: the other side computed and rounded down, up and to the nearest. */
function paymentsAt(rate: string, asked: Order, missing: bigint): Payment[] {
  const units = known(parseUnitPrice(rate), 'rate');
  const roundings = (dividend: bigint, divisor: bigint, step: bigint) =>
    [0n, (divisor * step) / 2n, divisor * step - 1n].map((more) => ((dividend + more) / (divisor * step)) * step);
  if (asked.buyCoinMode === 'PaymentPrice') {
    const price = known(parseFiat(asked.totalPrice!), 'price');
    return roundings(price * UNITS_PER_ONE, units, 1n).map((mtc) => ({
      transactionAmount: formatUnits(mtc),
      paymentPrice: asked.totalPrice!,
    }));
  }
  const mtc = known(parseMtc(asked.mtcAmount!), 'MTC') - missing;
  return roundings(mtc * units, UNITS_PER_ONE, CENT).map((price) => ({
    transactionAmount: formatUnits(mtc),
    paymentPrice: formatUnits(price),
  }));
}

const isCredited = (under: DepositSettings, asked: Order, payment: Payment): boolean =>
  judge(under, asked, {
    callback: { ...payment, transactionCode: 'AT1', currencyCode: asked.currencyCode },
    receivedAt: '2026-03-01T12:05:00.000Z',
    expiresAt: null,
  }).kind === 'credit';

describe('with the rate bands as they are when nothing is configured', () => {
  const EDGES = [
    ['CNY', '0.00153847', '124999999999999.99875'],
    ['HKD', '0.00142858', '116279069767441.85930232'],
    ['TWD', '0.00035715', '27777777777777.7775'],
  ] as const;
  const plus = (text: string, more: bigint) => formatUnits(known(parseMtc(text), 'MTC') + more);

  it.each(EDGES)('MTC to buy in %s are taken from %s to %s, and not one unit beyond', (currency, least, most) => {
    const { from, to } = settings().rateBands[currency];
    expect(orderFault(settings(), byMtc(least, currency))).toBeNull();
    expect(orderFault(settings(), byMtc(most, currency))).toBeNull();
    expect(orderFault(settings(), byMtc(plus(least, -1n), currency))).toEqual({
      field: 'mtcAmount',
      message: `at ${from} ${currency} per MTC the price could be less than 0.01`,
      payment: { transactionAmount: plus(least, -1n), paymentPrice: '0' },
    });
    expect(orderFault(settings(), byMtc(plus(most, 1n), currency))).toEqual({
      field: 'mtcAmount',
      message: `at ${to} ${currency} per MTC the price could have more than 15 digits before the point`,
      payment: { transactionAmount: plus(most, 1n), paymentPrice: '1000000000000000' },
    });
  });

  it.each(EDGES)(
    'and a thousand units about either end agree in %s: what is taken can be booked',
    (currency, ...ends) => {
      const { from, to } = settings().rateBands[currency];
      for (const end of ends) {
        for (let more = -500n; more <= 500n; more += 1n) {
          const asked = byMtc(plus(end, more), currency);
          const payments = [...paymentsAt(from, asked, 0n), ...paymentsAt(to, asked, 0n)];
          const isBookable = payments.every((payment) => trouble(payment, currency) === null);
          expect(orderFault(settings(), asked) === null, asked.mtcAmount!).toBe(isBookable);
        }
      }
    },
  );

  it.each(CURRENCIES)('every price to pay in %s is taken, the least and the most that can be written', (currency) => {
    for (const price of ['0.01', '1', '32551.2', '999999999999999.99']) {
      expect(orderFault(settings(), byPrice(price, currency)), price).toBeNull();
    }
  });
});

describe('a price to pay', () => {
  it('is refused when its MTC could be none', () => {
    const dear = banded('1', '1000000.00000001');
    expect(orderFault(dear, byPrice('0.02'))).toBeNull();
    expect(orderFault(dear, byPrice('0.01'))).toEqual({
      field: 'totalPrice',
      message: 'at 1000000.00000001 CNY per MTC the MTC could be less than 0.00000001',
      payment: { transactionAmount: '0', paymentPrice: '0.01' },
    });
  });

  it('is refused when its MTC could have too many digits', () => {
    const cheap = banded('0.1', '1');
    expect(orderFault(cheap, byPrice('99999999999999.99'))).toBeNull();
    expect(orderFault(cheap, byPrice('100000000000000'))).toEqual({
      field: 'totalPrice',
      message: 'at 0.1 CNY per MTC the MTC could have more than 15 digits before the point',
      payment: { transactionAmount: '1000000000000000', paymentPrice: '100000000000000' },
    });
  });
});

describe('a unit price', () => {
  it('below what the books can hold is refused: the price is rounded down, the MTC are not', () => {
    const least = banded('0.00000001', '1');
    expect(orderFault(least, byMtc('1000000'))).toBeNull();
    expect(orderFault(least, byMtc('1000001'))).toEqual({
      field: 'mtcAmount',
      message: 'the price per MTC could be less than 0.00000001',
      payment: { transactionAmount: '1000001', paymentPrice: '0.01' },
    });
  });

  it('above what the books can hold is refused', () => {
    const vast = banded('1000000', '100000000000000', { feeBand: '0.99999999' });
    expect(orderFault(vast, byMtc('1'))).toEqual({
      field: 'mtcAmount',
      message: 'the price per MTC could have more than 20 digits before the point',
      payment: { transactionAmount: '0.00000001', paymentPrice: '100000000000000' },
    });
    expect(message(byMtc('1'), banded('1000000', '100000000000', { feeBand: '0.99999999' }))).toBeUndefined();
  });
});

describe('the fee band', () => {
  it('counts: of fewer MTC the price is less', () => {
    expect(message(byMtc('0.002'))).toBeUndefined();
    const halved = settings({ feeBand: '0.5' });
    expect(message(byMtc('0.002'), halved)).toBe('at 6.5 CNY per MTC the price could be less than 0.01');
    expect(message(byMtc('0.002', 'TWD'), halved)).toBeUndefined();
    expect(message(byMtc('0.002'), settings({ feeBand: '0.5', feeBands: { CNY: '0' } }))).toBeUndefined();
    expect(message(byMtc('0.002', 'HKD'), settings({ feeBands: { HKD: '0.5' } }))).toContain('less than 0.01');
  });

  it('does not count where the price was fixed, and neither does the band of another currency', () => {
    expect(message(byPrice('0.01'), settings({ feeBand: '0.99999999' }))).toBeUndefined();
    const rateBands = { ...settings().rateBands, HKD: { from: '0.00000001', to: '999999999999999' } };
    expect(message(byMtc('5000'), settings({ rateBands }))).toBeUndefined();
    expect(message(byMtc('5000', 'HKD'), settings({ rateBands }))).toBeDefined();
  });
});

describe('any order under any band', () => {
  /** Decimals of every length, those near the limits as likely as those in the middle. */
  const decimal = (decimals: number) =>
    fc
      .tuple(fc.integer({ min: 0, max: 14 + decimals }), fc.bigInt({ min: 1n, max: 10n ** 30n }), fc.boolean())
      .map(([length, digits, nines]) => (nines ? 10n ** BigInt(length + 1) - 1n : digits % 10n ** BigInt(length + 1)))
      .map((digits) => formatUnits((digits === 0n ? 1n : digits) * 10n ** BigInt(8 - decimals)));
  const band = fc.tuple(decimal(8), fc.constantFrom(0n, 1n, 25n, 1_000n, 10n ** 9n)).map(([from, more]) => {
    const units = known(parseUnitPrice(from), 'from');
    const to = formatUnits(units + (units * more) / 100n);
    return { from, to: parseUnitPrice(to).ok ? to : from };
  });
  const usual = fc.constantFrom(...Object.values(settings().rateBands));
  const world = fc.record({
    band: fc.oneof(usual, band),
    feeBand: fc.constantFrom('0', '0', '0.01', '0.5', '0.99999999'),
    asked: fc.oneof(
      decimal(8).map((amount) => byMtc(amount)),
      decimal(2).map((price) => byPrice(price)),
    ),
  });

  test('is taken only if all it may bring can be read and booked, and refused only with one that cannot', () => {
    const seen = { taken: 0, credited: 0, refused: new Map<string, number>() };
    fc.assert(
      fc.property(world, ({ band: { from, to }, feeBand, asked }) => {
        const under = banded(from, to, { feeBand });
        const fault = orderFault(under, asked);
        if (fault !== null) {
          const found = trouble(fault.payment, asked.currencyCode);
          expect(found, JSON.stringify(fault)).not.toBeNull();
          const kind = `${fault.field}: ${found}`;
          seen.refused.set(kind, (seen.refused.get(kind) ?? 0) + 1);
          return;
        }
        seen.taken += 1;
        const mtc = known(parseMtc(asked.mtcAmount ?? '1'), 'MTC');
        const fee = (mtc * known(parseFraction(feeBand), 'fee band')) / UNITS_PER_ONE;
        for (const missing of new Set([0n, fee / 2n, fee])) {
          for (const payment of [...paymentsAt(from, asked, missing), ...paymentsAt(to, asked, missing)]) {
            expect(trouble(payment, asked.currencyCode), JSON.stringify(payment)).toBeNull();
            seen.credited += isCredited(under, asked, payment) ? 1 : 0;
          }
        }
      }),
      { numRuns: 3_000 },
    );
    expect(seen.taken).toBeGreaterThan(500);
    expect(seen.credited).toBeGreaterThan(500);
    for (const kind of [
      'mtcAmount: paymentPrice: not positive',
      'mtcAmount: paymentPrice: not a decimal number',
      'totalPrice: transactionAmount: not positive',
      'totalPrice: transactionAmount: not a decimal number',
    ]) {
      expect(seen.refused.get(kind) ?? 0, kind).toBeGreaterThan(20);
    }
  });
});

describe('a text that nobody checked', () => {
  it.each<[string, Order, DepositSettings]>([
    ['rate band', byMtc('1'), banded('x', '8')],
    ['rate band', byMtc('1'), banded('7', 'x')],
    ['totalPrice', { ...byPrice('1'), totalPrice: null }, settings()],
    ['mtcAmount', { ...byMtc('1'), mtcAmount: null }, settings()],
    ['fee band', byMtc('1'), settings({ feeBand: 'x' })],
  ])('is a defect that names it: %s %#', (name, asked, under) => {
    expect(() => orderFault(under, asked)).toThrow(new RangeError(`${name}: not a decimal number`));
  });
});

it('a unit price of exactly 1e20 is the first that the books cannot hold', () => {
  const [feeBand, far] = ['0.99999999', '1000000000000'];
  expect(orderFault(banded(far, far, { feeBand }), byMtc('1'))).toEqual({
    field: 'mtcAmount',
    message: 'the price per MTC could have more than 20 digits before the point',
    payment: { transactionAmount: '0.00000001', paymentPrice: far },
  });
  expect(orderFault(banded('999999999999.99', '999999999999.99', { feeBand }), byMtc('1'))).toBeNull();
});
