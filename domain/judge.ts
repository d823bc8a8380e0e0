import {
  formatUnits,
  known,
  mulDivFloor,
  parseFiat,
  parseFraction,
  parseMtc,
  parseUnitPrice,
  UNITS_PER_ONE,
  unitPrice,
} from './money.ts';
import type { CallbackData, Currency, DepositSettings, Order } from './order.ts';

/** The input of the judge: the callback as stored in the inbox, and when it was received. */
export interface PaymentFacts {
  readonly callback: Pick<CallbackData, 'transactionCode' | 'transactionAmount' | 'currencyCode' | 'paymentPrice'>;
  /** RFC 3339, our database's clock. */
  readonly receivedAt: string;
  /** End of the payment window; null when the order's outcome was never known. */
  readonly expiresAt: string | null;
}

/** Reasons why no machine may credit an authentic, readable callback. */
export type JudgedReason =
  | 'CURRENCY_MISMATCH'
  | 'AMOUNT_MISMATCH'
  | 'PRICE_MISMATCH'
  | 'RATE_OUT_OF_BAND'
  | 'ABOVE_CAP'
  | 'LATE';

export type Verdict =
  | { readonly kind: 'credit'; readonly late: boolean; readonly amount: string }
  | { readonly kind: 'review'; readonly late: boolean; readonly reason: JudgedReason; readonly detail: string };

/**
 * Decides whether a payment may be credited without a person (docs/reference/lifecycle.md#the-judge). The currency and
 * the fixed side must be as ordered, and the price must be within the rate band. The amount must not be above the cap,
 * and the payment not late where the policy forbids that. Pure: reads its arguments only.
 */
export function judge(settings: DepositSettings, order: Order, facts: PaymentFacts): Verdict {
  const [received, expires] = [Date.parse(facts.receivedAt), Date.parse(facts.expiresAt ?? '')];
  const late = facts.expiresAt !== null && !(received <= expires);
  // An invalid time cannot be compared, so no machine credits by it under any policy.
  const comparable = facts.expiresAt === null || !Number.isNaN(received + expires);
  const fault = mismatch(settings, order, facts.callback);
  if (fault !== null) return { kind: 'review', late, ...fault };
  if (late && (settings.latePolicy === 'review' || !comparable)) {
    return {
      kind: 'review',
      late,
      reason: 'LATE',
      detail: `received ${facts.receivedAt}, payment window ended ${facts.expiresAt}`,
    };
  }
  return { kind: 'credit', late, amount: facts.callback.transactionAmount };
}

type Mismatch = { readonly reason: JudgedReason; readonly detail: string };

function mismatch(settings: DepositSettings, order: Order, paid: PaymentFacts['callback']): Mismatch | null {
  if (paid.currencyCode !== order.currencyCode) {
    return { reason: 'CURRENCY_MISMATCH', detail: `paid in ${paid.currencyCode}, ordered in ${order.currencyCode}` };
  }
  return fixedSideMismatch(settings, order, paid) ?? rateMismatch(settings, order, paid) ?? aboveCap(settings, paid);
}

/** The share of the ordered MTC that may be missing, for the provider's fee; a decimal below 1. */
export const feeBandOf = (settings: DepositSettings, currency: Currency): string =>
  settings.feeBands?.[currency] ?? settings.feeBand;

/** The side that the order fixes must be as ordered; only received MTC may be less, within the fee band. */
function fixedSideMismatch(settings: DepositSettings, order: Order, paid: PaymentFacts['callback']): Mismatch | null {
  if (order.buyCoinMode === 'PaymentPrice') {
    const asked = known(parseFiat(order.totalPrice ?? ''), 'totalPrice');
    const price = known(parseFiat(paid.paymentPrice), 'paymentPrice');
    if (price === asked) return null;
    return {
      reason: 'PRICE_MISMATCH',
      detail: `paid ${paid.paymentPrice} ${paid.currencyCode}, asked ${order.totalPrice}`,
    };
  }
  const asked = known(parseMtc(order.mtcAmount ?? ''), 'mtcAmount');
  const received = known(parseMtc(paid.transactionAmount), 'transactionAmount');
  const share = feeBandOf(settings, order.currencyCode);
  const fee = mulDivFloor(asked, known(parseFraction(share), 'fee band'), UNITS_PER_ONE);
  if (received <= asked && received >= asked - fee) return null;
  const allowed = fee === 0n ? `${order.mtcAmount}` : `${formatUnits(asked - fee)} to ${order.mtcAmount}`;
  return { reason: 'AMOUNT_MISMATCH', detail: `received ${paid.transactionAmount} MTC, asked ${allowed}` };
}

/**
 * Both ends of the band are allowed. Compared by multiplication, so that rounding plays no part: from × MTC ≤ fiat ≤ to
 * × MTC.
 */
function rateMismatch(settings: DepositSettings, order: Order, paid: PaymentFacts['callback']): Mismatch | null {
  const band = settings.rateBands[order.currencyCode];
  const fiat = known(parseFiat(paid.paymentPrice), 'paymentPrice');
  const mtc = known(parseMtc(paid.transactionAmount), 'transactionAmount');
  const from = known(parseUnitPrice(band.from), 'rate band') * mtc;
  const to = known(parseUnitPrice(band.to), 'rate band') * mtc;
  if (fiat * UNITS_PER_ONE >= from && fiat * UNITS_PER_ONE <= to) return null;
  const rate = formatUnits(unitPrice(fiat, mtc));
  return {
    reason: 'RATE_OUT_OF_BAND',
    detail: `${rate} ${order.currencyCode} per MTC, allowed ${band.from} to ${band.to}`,
  };
}

/**
 * Bounds the loss by a forged amount where the order does not fix the MTC: within the rate band of a fixed price
 * (docs/internals/threat-model.md, T6). It applies to both modes, so that the cap has no exception.
 */
function aboveCap(settings: DepositSettings, paid: PaymentFacts['callback']): Mismatch | null {
  if (settings.creditCap === undefined) return null;
  const mtc = known(parseMtc(paid.transactionAmount), 'transactionAmount');
  if (mtc <= known(parseMtc(settings.creditCap), 'credit cap')) return null;
  return { reason: 'ABOVE_CAP', detail: `received ${paid.transactionAmount} MTC, cap ${settings.creditCap}` };
}
