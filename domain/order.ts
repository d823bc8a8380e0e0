/** The facts of a deposit that never change after creation. Decimals are canonical strings, durations milliseconds. */

export const BUY_COIN_MODES = ['MtcAmount', 'PaymentPrice'] as const;
export type BuyCoinMode = (typeof BUY_COIN_MODES)[number];

export const CURRENCIES = ['CNY', 'HKD', 'TWD'] as const;
export type Currency = (typeof CURRENCIES)[number];

export const LANGUAGES = ['en', 'zh_CN', 'zh_TW'] as const;
export type Language = (typeof LANGUAGES)[number];

/** The payment providers, as tables, keys of postings, accounts and histories name them. */
export const PROVIDER_NAMES = ['mtpay'] as const;
export type ProviderName = (typeof PROVIDER_NAMES)[number];
/** The provider, also for inputs of older histories, which name none. */
export const providerOf = (named: { readonly provider?: ProviderName } = {}): ProviderName => named.provider ?? 'mtpay';

/** The form of order numbers and wallets in requests and callbacks (docs/reference/api.md#requests). */
export const IDENTIFIER = /^[A-Za-z0-9_-]{1,64}$/;

/** A closed range of prices, fiat per MTC, both ends included. */
export interface Band {
  readonly from: string;
  readonly to: string;
}

/**
 * Settings that decide about money, frozen in the deposit row at creation and passed in the workflow's input: a changed
 * setting changes no existing deposit (docs/reference/lifecycle.md, L18).
 */
export interface DepositSettings {
  readonly rateBands: Readonly<Record<Currency, Band>>;
  /** Share of the ordered MTC that may be missing, for the provider's fee: `"0"`, `"0.01"`. Mode MtcAmount only. */
  readonly feeBand: string;
  /** Fee bands of single currencies. Absent in older deposits, like {@link creditCap}: then `feeBand` applies. */
  readonly feeBands?: Readonly<Partial<Record<Currency, string>>>;
  /** MTC up to which a machine may credit one deposit, this amount included; no limit when absent. */
  readonly creditCap?: string;
  readonly latePolicy: 'credit' | 'review';
  readonly paymentWindowMs: number;
  readonly listeningWindowMs: number;
  /** MTC above which a decision needs two different people. */
  readonly reviewLimit: string;
}

/** The order at the provider. Exactly one of `mtcAmount` and `totalPrice` is set, by the mode. */
export interface Order {
  readonly externalOrderNumber: string;
  readonly wallet: string;
  readonly buyCoinMode: BuyCoinMode;
  readonly mtcAmount: string | null;
  readonly totalPrice: string | null;
  readonly currencyCode: Currency;
}

/** The seven data fields of an authentic, readable callback; decimals canonical, times the provider's own text. */
export interface CallbackData {
  readonly externalOrderNumber: string;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly currencyCode: Currency;
  readonly paymentPrice: string;
  readonly transactionCreateTime: string;
  readonly paymentFinishedTime: string;
}

/** A payment bound to a deposit, as in its workflow's signal; `receivedAt` is RFC 3339 from our database's clock. */
export interface Payment
  extends Pick<CallbackData, 'transactionCode' | 'transactionAmount' | 'currencyCode' | 'paymentPrice'> {
  readonly inboxId: string;
  readonly receivedAt: string;
}
