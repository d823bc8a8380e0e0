import type { BuyCoinMode } from './advertisements.ts';
import { type Decimal, decimal, minus, overRoundedDown, plus, roundedHalfUp, times } from '../wire/decimal.ts';
import { type Fees, NO_FEES } from './fees.ts';

const FIAT_DECIMALS = 2;

/** The amounts of an order. MTC amounts have the configured decimals of MTC, prices have two. */
export interface Quote {
  /** MTC bought; the seller gives this amount. */
  readonly mtcAmount: Decimal;
  /** Fiat the payer pays, everything included. */
  readonly totalPrice: Decimal;
  /** The part of `mtcAmount` deducted from a merchant who bears the fee. */
  readonly feeMtc: Decimal;
  /** The part of `totalPrice` that is the fee of a payer who bears it. */
  readonly feePrice: Decimal;
  /** `transactionAmount` of the callback. */
  readonly reportedAmount: Decimal;
}

const isPositive = (a: Decimal): boolean => a.digits > 0n;

/** `percent` of an amount plus the fixed part, both unrounded. */
const feeOn = (amount: Decimal, percent: Decimal, fixed: Decimal): Decimal =>
  plus(times(amount, { digits: percent.digits, scale: percent.scale + 2 }), fixed);

/**
 * Computes the amounts of an order; null if one of them is not above zero.
 * - The requested amount stays as it is; the other follows from the unit price.
 * - Fiat is rounded to the cent, half up. MTC is cut off after `mtcDecimals`: nobody receives more than was paid for.
 * - A fee is rounded half up, or is the rest of a requested price.
 * - The sums are exact: MTC = received + fee, total = price of the MTC + fee.
 */
export function quote(
  mode: BuyCoinMode,
  asked: Decimal,
  unitPrice: Decimal,
  mtcDecimals: number,
  fees: Fees = NO_FEES,
): Quote | null {
  const percent = decimal(fees.percent);
  const fixed = decimal(fees.fixed);
  const quoted =
    fees.borneBy === 'payer'
      ? payersQuote(mode, asked, unitPrice, mtcDecimals, percent, times(fixed, unitPrice))
      : merchantsQuote(mode, asked, unitPrice, mtcDecimals, percent, fixed);
  const received = minus(quoted.mtcAmount, quoted.feeMtc);
  const price = minus(quoted.totalPrice, quoted.feePrice);
  if (![quoted.mtcAmount, quoted.totalPrice, received, price].every(isPositive)) return null;
  return { ...quoted, reportedAmount: fees.report === 'net' ? received : quoted.mtcAmount };
}

type Parts = Omit<Quote, 'reportedAmount'>;

const NOTHING = decimal('0');

function merchantsQuote(
  mode: BuyCoinMode,
  asked: Decimal,
  unitPrice: Decimal,
  mtcDecimals: number,
  percent: Decimal,
  fixed: Decimal,
): Parts {
  const { mtcAmount, totalPrice } = sides(mode, asked, unitPrice, mtcDecimals);
  return {
    mtcAmount,
    totalPrice,
    feeMtc: roundedHalfUp(feeOn(mtcAmount, percent, fixed), mtcDecimals),
    feePrice: NOTHING,
  };
}

/**
 * Computes the quote of an order whose payer bears the fee. If MTC are requested, the payer pays the fee on top. If a
 * price is requested, it includes the fee: the price of the MTC is the largest number of whole cents that leaves room
 * for the fee on it. The rest is the fee.
 */
function payersQuote(
  mode: BuyCoinMode,
  asked: Decimal,
  unitPrice: Decimal,
  mtcDecimals: number,
  percent: Decimal,
  fixedPrice: Decimal,
): Parts {
  if (mode === 'MtcAmount') {
    const { mtcAmount, totalPrice: price } = sides(mode, asked, unitPrice, mtcDecimals);
    const feePrice = roundedHalfUp(feeOn(price, percent, fixedPrice), FIAT_DECIMALS);
    return { mtcAmount, totalPrice: plus(price, feePrice), feeMtc: NOTHING, feePrice };
  }
  const factor = plus(decimal('1'), { digits: percent.digits, scale: percent.scale + 2 });
  const open = minus(asked, fixedPrice);
  const price = isPositive(open) ? overRoundedDown(open, factor, FIAT_DECIMALS) : NOTHING;
  const mtcAmount = overRoundedDown(price, unitPrice, mtcDecimals);
  return { mtcAmount, totalPrice: asked, feeMtc: NOTHING, feePrice: minus(asked, price) };
}

function sides(mode: BuyCoinMode, asked: Decimal, unitPrice: Decimal, mtcDecimals: number) {
  return mode === 'MtcAmount'
    ? { mtcAmount: asked, totalPrice: roundedHalfUp(times(asked, unitPrice), FIAT_DECIMALS) }
    : { mtcAmount: overRoundedDown(asked, unitPrice, mtcDecimals), totalPrice: asked };
}
