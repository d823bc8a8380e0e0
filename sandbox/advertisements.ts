import { type Decimal, decimal, overRoundedDown, roundedHalfUp, times } from './decimal.ts';
import type { Settings } from './settings.ts';

export const CURRENCIES = ['CNY', 'HKD', 'TWD'] as const;
export type Currency = (typeof CURRENCIES)[number];
export const BUY_COIN_MODES = ['MtcAmount', 'PaymentPrice'] as const;
export type BuyCoinMode = (typeof BUY_COIN_MODES)[number];

/** A seller's offer. Its code belongs to the offer, so many orders share it. */
export interface Advertisement {
  readonly code: string;
  /** Fiat per MTC. */
  readonly unitPrice: Decimal;
}

/** Where the payer is told to pay; as fictitious as the money. */
export const PAYEES: Readonly<Record<Currency, { readonly name: string; readonly account: string }>> = {
  CNY: { name: 'Sandbox Seller A', account: 'Example Bank 6200 0000 0000 0001' },
  HKD: { name: 'Sandbox Seller B', account: 'Example Bank 012-000000-002' },
  TWD: { name: 'Sandbox Seller C', account: 'Example Bank 812-000000000003' },
};

/** The best offer for a currency; null if none stands, which is NO_ADVERTISEMENT. */
export function match(prices: Settings['prices'], currency: Currency): Advertisement | null {
  const price = prices[currency];
  return price === 'none' ? null : { code: `AD${currency}00000001`, unitPrice: decimal(price) };
}

const FIAT_DECIMALS = 2;

export interface Quote {
  readonly mtcAmount: Decimal;
  readonly totalPrice: Decimal;
}

/**
 * Both amounts of an order. The asked one is taken as it is; the other follows from the unit price: fiat is rounded to
 * the cent, half a cent up; MTC is cut off after `mtcDecimals`, so that nobody receives more than was paid for.
 * Null if the other side comes to nothing.
 */
export function quote(mode: BuyCoinMode, asked: Decimal, unitPrice: Decimal, mtcDecimals: number): Quote | null {
  const result =
    mode === 'MtcAmount'
      ? { mtcAmount: asked, totalPrice: roundedHalfUp(times(asked, unitPrice), FIAT_DECIMALS) }
      : { mtcAmount: overRoundedDown(asked, unitPrice, mtcDecimals), totalPrice: asked };
  return result.mtcAmount.digits > 0n && result.totalPrice.digits > 0n ? result : null;
}
