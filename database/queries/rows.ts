import type { DepositState } from '../../domain/deposit.ts';
import type { DepositSettings, Language, Order, ProviderName } from '../../domain/order.ts';

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

/** A {@link DepositRow}, named one by one: the API's role may not read the payer's name. */
export const DEPOSIT_COLUMNS = `
  d.external_order_number as "externalOrderNumber", d.wallet, d.buy_coin_mode as "buyCoinMode",
  trim_scale(d.mtc_amount)::text as "mtcAmount", trim_scale(d.total_price)::text as "totalPrice",
  d.currency_code as "currencyCode", d.support_language as "supportLanguage", d.fingerprint, d.settings, d.state, d.late,
  d.redirect_url as "redirectUrl", d.advertisement_code as "advertisementCode", d.bound_callback as "boundCallback",
  d.posting_id as "postingId", d.review_reason as "reviewReason", d.refusal, d.created_at as "createdAt",
  d.placed_at as "placedAt", d.expires_at as "expiresAt", d.listening_until as "listeningUntil", d.closed_at as "closedAt",
  d.settled_by as "settledBy", d.provider`;

/** Rows in a stable order, and the cursor of the next page; null: these were the last. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly end: readonly string[] | null;
}

/** SQL: a time as a cursor. Text to the microsecond, because a Date would begin the next page too early. */
export const pageTime = (column: string): string => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Makes a page of the rows: fewer than asked for are the last. */
export function toPage<Raw, Row>(
  rows: readonly Raw[],
  limit: number,
  toRow: (row: Raw) => Row,
  endOf: (row: Raw) => readonly string[],
): Page<Row> {
  return { rows: rows.map(toRow), end: rows.length < limit ? null : endOf(rows.at(-1)!) };
}

/** SQL: how long ago this time is, whole ms as a number; negative where the server's clock was put back since. */
export const ageMsOf = (time: string): string =>
  `round(extract(epoch from clock_timestamp() - ${time}) * 1000)::float8`;

/**
 * SQL: this time is more than so many ms ago, or in the future, because the server's clock was put back since it was
 * written. Such a row must not wait until that time.
 */
export const isOld = (time: string, ms: string): string =>
  `(${time} < clock_timestamp() - ${ms} * interval '1 millisecond' or ${time} > clock_timestamp() + interval '1 minute')`;

/**
 * SQL: the rows of `select … from … where …` that are {@link isOld}, at most `limit` from before and from the future, oldest
 * first. By an index in the order of `time`: it ends at the limit.
 */
export const oldRows = (select: string, time: string, ms: string, limit: number): string =>
  [
    `< (select clock_timestamp() - ${ms} * interval '1 millisecond')`,
    `> (select clock_timestamp() + interval '1 minute')`,
  ]
    .map((when) => `(${select} and ${time} ${when} order by ${time} limit ${limit})`)
    .join(' union all ');

/** A count ends here, because rows pile up just when something is wrong. */
const COUNTED_AT_MOST = 1_000;
/** One more is looked for. */
export const COUNTED_ROWS = COUNTED_AT_MOST + 1;

/** How many rows there are. `hasMore`: at least so many. */
export interface Counted {
  readonly count: number;
  readonly hasMore: boolean;
}

/** SQL: the columns of {@link Counted}, of all rows of a statement that reads at most {@link COUNTED_ROWS} of a kind. */
export const COUNTED = `least(count(*) over (), ${COUNTED_AT_MOST})::int as count, count(*) over () > ${COUNTED_AT_MOST} as "hasMore"`;

/** Rows that a page of {@link duePage} looks at for each one that is asked for, at most. */
const LOOKS_AT = 10;

/** A row of {@link duePage}. */
export interface Looked {
  /** False: none is due, and the row has only the fields below. */
  readonly isDue: boolean;
  /** How many rows the page looked at. */
  readonly looked: number;
  readonly lastCursor: string[];
  readonly cursor: string[];
}

/**
 * SQL: a page of rows that mostly need nothing. It looks at a limited number of rows and returns those of them that are
 * due, so a page may be short or empty and not be the last.
 */
export const duePage = (of: {
  /** `select … from … where …` after the cursor; its columns are those of `d` below. */
  readonly looked: (limit: string) => string;
  readonly order: readonly string[];
  /** SQL: an array of text, of a row `d`. */
  readonly cursor: string;
  /** SQL: whether a row `d` is due. */
  readonly isDue: string;
  /** SQL: the columns that are wanted of `d`, and a join for them. */
  readonly columns: string;
  readonly joined?: string;
  readonly limit: string;
  /** The column of `d` that is never null. Default: the order number. */
  readonly key?: string;
}): string => {
  const order = of.order.join(', ');
  const atMost = `${LOOKS_AT} * ${of.limit}::int`;
  return `
  with looked as (${of.looked(atMost)} order by ${order} limit ${atMost})
  select ${of.columns}, d.${of.key ?? 'external_order_number'} is not null as "isDue", l.looked, l.cursor as "lastCursor", ${of.cursor} as cursor
    from (select count(*) over ()::int as looked, ${of.cursor} as cursor from looked d order by ${of.order.map((column) => `${column} desc`).join(', ')} limit 1) l
    left join lateral (select * from looked d where ${of.isDue} order by ${order} limit ${of.limit}) d on true ${of.joined ?? ''}
   order by ${of.order.map((column) => `d.${column}`).join(', ')}`;
};

/** Makes a page of the rows of {@link duePage}; the next one begins after the last row that this one looked at. */
export function toDuePage<Raw extends Looked, Row>(
  raw: readonly Raw[],
  limit: number,
  toRow: (row: Raw) => Row,
): Page<Row> {
  const due = raw.filter(({ isDue }) => isDue);
  const rows = due.map(toRow);
  if (due.length === limit) return { rows, end: due.at(-1)!.cursor };
  const [first] = raw;
  return { rows, end: first === undefined || first.looked < LOOKS_AT * limit ? null : first.lastCursor };
}
