import type { DepositState } from '../domain/deposit.ts';
import type { BuyCoinMode, Currency, DepositSettings, Language, Order, ProviderName } from '../domain/order.ts';

/** A deposit row as everyone but placement may see it: without the payer's name. Decimals canonical, times Date. */
export interface DepositRow extends Order {
  readonly supportLanguage: Language;
  readonly fingerprint: Buffer;
  readonly settings: DepositSettings;
  readonly state: DepositState;
  readonly late: boolean;
  readonly redirectUrl: string | null;
  readonly advertisementCode: string | null;
  readonly boundCallback: string | null;
  readonly postingId: string | null;
  readonly reviewReason: string | null;
  readonly refusal: string | null;
  readonly createdAt: Date;
  readonly placedAt: Date | null;
  readonly expiresAt: Date | null;
  readonly listeningUntil: Date | null;
  readonly closedAt: Date | null;
  /** The case that credited an unbound payment of this deposit. */
  readonly settledBy: string | null;
  readonly provider: ProviderName;
}

/** Named one by one: the API's role may not read the payer's name. */
export const DEPOSIT_COLUMNS = `
  d.external_order_number, d.wallet, d.buy_coin_mode, trim_scale(d.mtc_amount)::text as mtc_amount,
  trim_scale(d.total_price)::text as total_price, d.currency_code, d.support_language, d.fingerprint, d.settings, d.state,
  d.late, d.redirect_url, d.advertisement_code, d.bound_callback, d.posting_id, d.review_reason, d.refusal, d.created_at,
  d.placed_at, d.expires_at, d.listening_until, d.closed_at, d.settled_by, d.provider`;

export interface RawDepositRow {
  external_order_number: string;
  wallet: string;
  buy_coin_mode: BuyCoinMode;
  mtc_amount: string | null;
  total_price: string | null;
  currency_code: Currency;
  support_language: Language;
  fingerprint: Buffer;
  settings: DepositSettings;
  state: DepositState;
  late: boolean;
  redirect_url: string | null;
  advertisement_code: string | null;
  bound_callback: string | null;
  posting_id: string | null;
  review_reason: string | null;
  refusal: string | null;
  created_at: Date;
  placed_at: Date | null;
  expires_at: Date | null;
  listening_until: Date | null;
  closed_at: Date | null;
  settled_by: string | null;
  provider: ProviderName;
}

export const toDeposit = (row: RawDepositRow): DepositRow => ({
  externalOrderNumber: row.external_order_number,
  wallet: row.wallet,
  buyCoinMode: row.buy_coin_mode,
  mtcAmount: row.mtc_amount,
  totalPrice: row.total_price,
  currencyCode: row.currency_code,
  supportLanguage: row.support_language,
  fingerprint: row.fingerprint,
  settings: row.settings,
  state: row.state,
  late: row.late,
  redirectUrl: row.redirect_url,
  advertisementCode: row.advertisement_code,
  boundCallback: row.bound_callback,
  postingId: row.posting_id,
  reviewReason: row.review_reason,
  refusal: row.refusal,
  createdAt: row.created_at,
  placedAt: row.placed_at,
  expiresAt: row.expires_at,
  listeningUntil: row.listening_until,
  closedAt: row.closed_at,
  settledBy: row.settled_by,
  provider: row.provider,
});

/** Rows in an order that lasts, and where the next page begins; null: these were the last. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly end: readonly string[] | null;
}

/** A time as the end of a page: as text to the microsecond, because a Date would begin the next page too early. */
export const pageTime = (column: string): string => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** What was read as a page: fewer rows than asked for are the last. */
export function toPage<Raw, Row>(
  rows: readonly Raw[],
  limit: number,
  toRow: (row: Raw) => Row,
  endOf: (row: Raw) => readonly string[],
): Page<Row> {
  return { rows: rows.map(toRow), end: rows.length < limit ? null : endOf(rows.at(-1)!) };
}

/**
 * SQL: this time is longer ago than so many ms, or it has not come yet, because the server's clock was put back since it was
 * written. What is only looked at once it is old is not to wait until then.
 */
export const isOld = (time: string, ms: string): string =>
  `(${time} < clock_timestamp() - ${ms} * interval '1 millisecond' or ${time} > clock_timestamp() + interval '1 minute')`;
