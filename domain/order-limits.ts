import { feeBandOf } from './judge.ts';
import {
  type AmountFault,
  type Fiat,
  formatUnits,
  known,
  type Mtc,
  mulDivFloor,
  type ParseResult,
  parseFiat,
  parseFraction,
  parseMtc,
  parseUnitPrice,
  UNITS_PER_ONE,
  unitPrice,
} from './money.ts';
import type { DepositSettings, Order } from './order.ts';

export type AskedOrder = Pick<Order, 'buyCoinMode' | 'mtcAmount' | 'totalPrice' | 'currencyCode'>;

/** Why an order is refused: the field of the request, the allowed value, and a payment that the order might bring. */
export interface OrderFault {
  readonly field: 'mtcAmount' | 'totalPrice';
  /** Human-readable. Holds the rate and the limit, never the requested value. */
  readonly message: string;
  /** Canonical decimals. The reader refuses one of them, or the ledger cannot store their unit price. */
  readonly payment: { readonly transactionAmount: string; readonly paymentPrice: string };
}

/** The range of payments that the provider may report for one order, ends included. */
interface Payments {
  readonly leastMtc: Mtc;
  readonly mostMtc: Mtc;
  readonly leastPrice: Fiat;
  readonly mostPrice: Fiat;
}

/** A cent in units of 1e-8. */
const CENT = 1_000_000n;
/** Above every unit price that the ledger can store, in units of 1e-8: its numbers are below 1e20. */
const UNIT_PRICE_END = 10n ** 20n * UNITS_PER_ONE;

/**
 * Returns null when every payment within the rate band can be read and booked. A payment of any other order would be
 * acknowledged, and no machine could book it. Throws RangeError for unchecked texts.
 * - Both roundings of the side that the provider computes are checked: its documents do not state how it rounds.
 * - The unit price is checked for the worst case, the least price for the most MTC. With a fee band that is slightly
 *   stricter than necessary, which matters only for bands near 0.00000001.
 */
export function orderFault(settings: DepositSettings, order: AskedOrder): OrderFault | null {
  const payments = paymentsOf(settings, order);
  return sideFault(settings, order, payments) ?? unitPriceFault(order, payments);
}

function paymentsOf(settings: DepositSettings, order: AskedOrder): Payments {
  const band = settings.rateBands[order.currencyCode];
  const from = known(parseUnitPrice(band.from), 'rate band');
  const to = known(parseUnitPrice(band.to), 'rate band');
  if (order.buyCoinMode === 'PaymentPrice') {
    const price = known(parseFiat(order.totalPrice ?? ''), 'totalPrice');
    return {
      leastMtc: mulDivFloor(price, UNITS_PER_ONE, to) as Mtc,
      mostMtc: mulDivCeil(price, UNITS_PER_ONE, from) as Mtc,
      leastPrice: price,
      mostPrice: price,
    };
  }
  const asked = known(parseMtc(order.mtcAmount ?? ''), 'mtcAmount');
  const share = known(parseFraction(feeBandOf(settings, order.currencyCode)), 'fee band');
  const leastMtc = (asked - mulDivFloor(asked, share, UNITS_PER_ONE)) as Mtc;
  return {
    leastMtc,
    mostMtc: asked,
    leastPrice: (mulDivFloor(leastMtc, from, UNITS_PER_ONE * CENT) * CENT) as Fiat,
    mostPrice: (mulDivCeil(asked, to, UNITS_PER_ONE * CENT) * CENT) as Fiat,
  };
}

const mulDivCeil = (a: bigint, b: bigint, c: bigint): bigint => (a * b + c - 1n) / c;

/** Checks the side that the provider computes, at both ends of the band, with the readers that will read it. */
function sideFault(settings: DepositSettings, order: AskedOrder, payments: Payments): OrderFault | null {
  const { from, to } = settings.rateBands[order.currencyCode];
  const { leastMtc, mostMtc, leastPrice, mostPrice } = payments;
  const at = (rate: string) => `at ${rate} ${order.currencyCode} per MTC`;
  if (order.buyCoinMode === 'PaymentPrice') {
    const [low, high] = [limitOf(parseMtc, leastMtc, '0.00000001'), limitOf(parseMtc, mostMtc, '0.00000001')];
    if (low !== null) return fault(order, `${at(to)} the MTC could ${low}`, leastMtc, leastPrice);
    return high === null ? null : fault(order, `${at(from)} the MTC could ${high}`, mostMtc, mostPrice);
  }
  const [low, high] = [limitOf(parseFiat, leastPrice, '0.01'), limitOf(parseFiat, mostPrice, '0.01')];
  if (low !== null) return fault(order, `${at(from)} the price could ${low}`, leastMtc, leastPrice);
  return high === null ? null : fault(order, `${at(to)} the price could ${high}`, mostMtc, mostPrice);
}

/** Null if the reader accepts it. */
function limitOf(read: (text: string) => ParseResult<bigint>, units: bigint, least: string): string | null {
  const parsed = read(formatUnits(units));
  return parsed.ok ? null : beyond(parsed.fault, least);
}

const beyond = (found: AmountFault, least: string): string =>
  found === 'not positive' ? `be less than ${least}` : 'have more than 15 digits before the point';

function unitPriceFault(order: AskedOrder, { leastMtc, mostMtc, leastPrice, mostPrice }: Payments): OrderFault | null {
  if (unitPrice(leastPrice, mostMtc) === 0n) {
    return fault(order, 'the price per MTC could be less than 0.00000001', mostMtc, leastPrice);
  }
  if (unitPrice(mostPrice, leastMtc) < UNIT_PRICE_END) return null;
  return fault(order, 'the price per MTC could have more than 20 digits before the point', leastMtc, mostPrice);
}

const fault = ({ buyCoinMode }: AskedOrder, message: string, mtc: bigint, price: bigint): OrderFault => ({
  field: buyCoinMode === 'MtcAmount' ? 'mtcAmount' : 'totalPrice',
  message,
  payment: { transactionAmount: formatUnits(mtc), paymentPrice: formatUnits(price) },
});
