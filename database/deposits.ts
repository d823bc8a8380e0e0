import type pg from 'pg';
import type { DepositState } from '../domain/deposit.ts';
import type { DepositSettings, Language, Order } from '../domain/order.ts';
import { DEPOSIT_COLUMNS, type DepositRow, type RawDepositRow, toDeposit } from './rows.ts';

type Db = pg.Pool | pg.ClientBase;

/** The channel on which a deposit tells that its placement was settled; the payload is the order number. */
export const SETTLED_CHANNEL = 'deposit_settled';

export interface Reservation extends Order {
  readonly supportLanguage: Language;
  readonly payerName: Buffer;
  readonly payerNameKey: string;
  readonly fingerprint: Buffer;
  readonly settings: DepositSettings;
}

/** Writes the row that answers every repeat. False: the number stands already, with whatever parameters. */
export async function reserve(db: Db, deposit: Reservation): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code,
                                 support_language, payer_name, payer_name_key, fingerprint, settings)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing`,
    [
      deposit.externalOrderNumber,
      deposit.wallet,
      deposit.buyCoinMode,
      deposit.mtcAmount,
      deposit.totalPrice,
      deposit.currencyCode,
      deposit.supportLanguage,
      deposit.payerName,
      deposit.payerNameKey,
      deposit.fingerprint,
      deposit.settings,
    ],
  );
  return rowCount === 1;
}

export async function findDeposit(db: Db, externalOrderNumber: string): Promise<DepositRow | null> {
  const { rows } = await db.query<RawDepositRow>(
    `select ${DEPOSIT_COLUMNS} from engine.deposit d where external_order_number = $1`,
    [externalOrderNumber],
  );
  return rows[0] === undefined ? null : toDeposit(rows[0]);
}

/** The row under lock: routing a callback and closing a deposit exclude each other here (rules 1 and 2). */
export async function lockDeposit(client: pg.ClientBase, externalOrderNumber: string): Promise<DepositRow | null> {
  const { rows } = await client.query<RawDepositRow>(
    `select ${DEPOSIT_COLUMNS} from engine.deposit d where external_order_number = $1 for update`,
    [externalOrderNumber],
  );
  return rows[0] === undefined ? null : toDeposit(rows[0]);
}

export interface DepositFilter {
  readonly state?: DepositState;
  readonly wallet?: string;
  /** Where the previous page ended: microseconds as text, so that no precision is lost, and the order number. */
  readonly after?: { readonly createdAt: string; readonly externalOrderNumber: string };
  readonly limit: number;
}

export type ListedDeposit = DepositRow & { readonly cursorAt: string };

/** Newest first. */
export async function listDeposits(db: Db, filter: DepositFilter): Promise<ListedDeposit[]> {
  const { rows } = await db.query<RawDepositRow & { cursor_at: string }>(
    `select ${DEPOSIT_COLUMNS}, to_char(d.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as cursor_at
       from engine.deposit d
      where ($1::text is null or state = $1) and ($2::text is null or wallet = $2)
        and ($3::timestamptz is null or (created_at, external_order_number) < ($3, $4))
      order by created_at desc, external_order_number desc limit $5`,
    [
      filter.state ?? null,
      filter.wallet ?? null,
      filter.after?.createdAt ?? null,
      filter.after?.externalOrderNumber ?? null,
      filter.limit,
    ],
  );
  return rows.map((row) => ({ ...toDeposit(row), cursorAt: row.cursor_at }));
}

/** The row as placement reads it: the only place that sees the encrypted name. */
export interface PlacementRow extends DepositRow {
  readonly payerName: Buffer | null;
  readonly payerNameKey: string | null;
  readonly ageMs: number;
}

export async function findForPlacement(db: Db, externalOrderNumber: string): Promise<PlacementRow | null> {
  const { rows } = await db.query<
    RawDepositRow & { payer_name: Buffer | null; payer_name_key: string | null; age_ms: string }
  >(
    `select ${DEPOSIT_COLUMNS}, d.payer_name, d.payer_name_key,
            (extract(epoch from clock_timestamp() - d.created_at) * 1000)::bigint as age_ms
       from engine.deposit d where external_order_number = $1`,
    [externalOrderNumber],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return { ...toDeposit(row), payerName: row.payer_name, payerNameKey: row.payer_name_key, ageMs: Number(row.age_ms) };
}

/** States that move no money and close nothing. Each follows one state only, so that a late run overwrites nothing. */
export async function recordState(
  db: Db,
  externalOrderNumber: string,
  state: 'AWAITING_PAYMENT' | 'EXPIRED',
): Promise<void> {
  const before = { AWAITING_PAYMENT: 'PLACEMENT_UNKNOWN', EXPIRED: 'AWAITING_PAYMENT' }[state];
  await db.query(`update engine.deposit set state = $2 where external_order_number = $1 and state = $3`, [
    externalOrderNumber,
    state,
    before,
  ]);
}

/** IN_REVIEW, together with the outcome of the callback that led there: from then on a person owns it. */
export async function markInReview(
  client: pg.ClientBase,
  review: {
    readonly externalOrderNumber: string;
    readonly reason: string;
    readonly late: boolean;
    readonly inboxId: string;
    readonly workflowId: string;
  },
): Promise<void> {
  await client.query(
    `update engine.deposit set state = 'IN_REVIEW', review_reason = $2, late = $3
      where external_order_number = $1 and state <> 'CREDITED' and state <> 'REJECTED'`,
    [review.externalOrderNumber, review.reason, review.late],
  );
  await client.query(`update engine.callback set outcome = $2 where id = $1 and outcome is null`, [
    review.inboxId,
    `review:${review.workflowId}`,
  ]);
}

/** A final state that moved no money; the caller holds the row's lock and has looked for a callback. */
export async function markClosed(
  client: pg.ClientBase,
  externalOrderNumber: string,
  state: 'PLACEMENT_REFUSED' | 'UNPAID',
  refusal: string | null,
): Promise<void> {
  await client.query(
    `update engine.deposit set state = $2, refusal = $3, closed_at = clock_timestamp() where external_order_number = $1`,
    [externalOrderNumber, state, refusal],
  );
  await client.query('select pg_notify($1, $2)', [SETTLED_CHANNEL, externalOrderNumber]);
}

/** Reservations whose workflow was perhaps never started, oldest first. */
export async function findUnstarted(db: Db, olderThanMs: number, limit: number): Promise<DepositRow[]> {
  const { rows } = await db.query<RawDepositRow>(
    `select ${DEPOSIT_COLUMNS} from engine.deposit d
      where state = 'PLACING' and created_at < clock_timestamp() - $1 * interval '1 millisecond'
      order by created_at limit $2`,
    [olderThanMs, limit],
  );
  return rows.map(toDeposit);
}
