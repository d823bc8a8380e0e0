import { known, parseFiat, parseMtc } from './money.ts';
import type { Order } from './order.ts';

/** What came, or what an operator reads in the statement. Decimals canonical. */
export interface StatedAmounts {
  readonly amount: string;
  readonly paymentPrice: string;
  readonly currencyCode: string;
}

/** A slip of the decimal point is a factor of 10; twice or half of what was asked is no rounding either. */
const FACTOR = 2n;

/**
 * What an operator is warned of before a decision: what was paid is {@link FACTOR} times what was asked, or more, or that
 * part of it, or less. In mode MtcAmount the MTC are compared, in mode PaymentPrice the price. Names both numbers, forbids
 * nothing.
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
