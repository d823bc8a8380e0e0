import { known, parseFiat, parseMtc } from './money.ts';
import type { Order } from './order.ts';

/** A payment, as received or as an operator reads it in the statement. Decimals canonical. */
export interface StatedAmounts {
  readonly amount: string;
  readonly paymentPrice: string;
  readonly currencyCode: string;
}

/** A misplaced decimal point is a factor of 10; twice or half of the ordered amount is no rounding either. */
const FACTOR = 2n;

/**
 * Warnings for an operator before a decision: the paid amount is at least {@link FACTOR} times the ordered one, or at
 * most that fraction of it. In mode MtcAmount the MTC are compared, in mode PaymentPrice the price. A warning names
 * both numbers and forbids nothing.
 */
export function slipWarnings(
  asked: Pick<Order, 'buyCoinMode' | 'mtcAmount' | 'totalPrice' | 'currencyCode'>,
  paid: StatedAmounts,
): string[] {
  const byMtc = asked.buyCoinMode === 'MtcAmount';
  const [ordered, came] = byMtc
    ? [known(parseMtc(asked.mtcAmount ?? ''), 'MTC asked'), known(parseMtc(paid.amount), 'MTC received')]
    : [known(parseFiat(asked.totalPrice ?? ''), 'price asked'), known(parseFiat(paid.paymentPrice), 'price paid')];
  if (came < FACTOR * ordered && ordered < FACTOR * came) return [];
  const [was, should] = byMtc
    ? [`${paid.amount} MTC`, `${asked.mtcAmount} MTC`]
    : [`${paid.paymentPrice} ${paid.currencyCode}`, `${asked.totalPrice} ${asked.currencyCode}`];
  return [`${came > ordered ? 'far more' : 'far less'} than was ordered: ${was}, and the order asked for ${should}`];
}
