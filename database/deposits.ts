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

/** A deposit with what the inbox and the books say of it, as callers of the API see it. */
export interface DepositView extends DepositRow {
  /** The bound callback's code; the posting's once there is one. */
  readonly transactionCode: string | null;
  readonly creditedAmount: string | null;
  readonly attempts: { readonly count: number; readonly lastAt: Date | null };
  /** The credit was taken back; `kept`: into suspense, because only the wallet was wrong. */
  readonly reversal: { readonly postingId: string; readonly at: Date; readonly kept: boolean } | null;
  /** The provider's own words when it refused the order. */
  readonly refusalMessage: string | null;
}

interface RawDepositView extends RawDepositRow {
  transaction_code: string | null;
  credited_amount: string | null;
  attempt_count: number;
  attempt_last_at: Date | null;
  refusal_message: string | null;
  reversal_id: string | null;
  reversal_at: Date | null;
  reversal_kept: boolean | null;
}

const VIEW = `
  select ${DEPOSIT_COLUMNS}, coalesce(t.provider_code, c.transaction_code) as transaction_code,
         trim_scale(t.amount - t.fee)::text as credited_amount, a.attempt_count, a.attempt_last_at,
         case when d.state = 'PLACEMENT_REFUSED' then
           (select answer->>'message' from engine.placement_attempt p
             where p.external_order_number = d.external_order_number and outcome = 'refused' limit 1) end as refusal_message,
         r.id as reversal_id, r.posted_at as reversal_at, r.debit_code like 'suspense:%' as reversal_kept,
         to_char(d.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as cursor_at
    from engine.deposit d
    left join ledger.transaction t on t.id = d.posting_id
    left join ledger.transaction r on r.origin = t.id and r.kind = 'reversal'
    left join engine.callback c on c.id = d.bound_callback
    cross join lateral (select coalesce(sum(attempts), 0)::int as attempt_count, max(last_at) as attempt_last_at
                          from engine.callback where deposit = d.external_order_number) a`;

const toView = (row: RawDepositView): DepositView => ({
  ...toDeposit(row),
  transactionCode: row.transaction_code,
  creditedAmount: row.credited_amount,
  attempts: { count: row.attempt_count, lastAt: row.attempt_last_at },
  refusalMessage: row.refusal_message,
  reversal:
    row.reversal_id === null ? null : { postingId: row.reversal_id, at: row.reversal_at!, kept: row.reversal_kept! },
});

export async function viewDeposit(db: Db, externalOrderNumber: string): Promise<DepositView | null> {
  const { rows } = await db.query<RawDepositView>(`${VIEW} where d.external_order_number = $1`, [externalOrderNumber]);
  return rows[0] === undefined ? null : toView(rows[0]);
}

export interface DepositFilter {
  readonly state?: DepositState | undefined;
  readonly wallet?: string | undefined;
  /** Only deposits of these; null: of every wallet. */
  readonly wallets?: readonly string[] | null;
  /** Where the previous page ended: microseconds as text, so that no precision is lost, and the order number. */
  readonly after?: PageEnd | undefined;
  readonly limit: number;
}
export interface PageEnd {
  readonly createdAt: string;
  readonly externalOrderNumber: string;
}

/** Newest first; `end` is where the next page begins, null when there is none. */
export async function listDeposits(
  db: Db,
  filter: DepositFilter,
): Promise<{ readonly items: DepositView[]; readonly end: PageEnd | null }> {
  const { rows } = await db.query<RawDepositView & { cursor_at: string }>(
    `${VIEW}
      where ($1::text is null or d.state = $1) and ($2::text is null or d.wallet = $2)
        and ($3::timestamptz is null or (d.created_at, d.external_order_number) < ($3, $4))
        and ($6::text[] is null or d.wallet = any($6))
      order by d.created_at desc, d.external_order_number desc limit $5`,
    [
      filter.state ?? null,
      filter.wallet ?? null,
      filter.after?.createdAt ?? null,
      filter.after?.externalOrderNumber ?? null,
      filter.limit + 1,
      filter.wallets ?? null,
    ],
  );
  const page = rows.slice(0, filter.limit);
  const last = rows.length > filter.limit ? page.at(-1) : undefined;
  return {
    items: page.map(toView),
    end: last === undefined ? null : { createdAt: last.cursor_at, externalOrderNumber: last.external_order_number },
  };
}

/** The row as placement reads it: the only place that sees the encrypted name. Null: erased, or no longer needed. */
export interface PlacementRow extends DepositRow {
  readonly payerName: Buffer | null;
  readonly payerNameKey: string | null;
  readonly ageMs: number;
}

export async function findForPlacement(db: Db, externalOrderNumber: string): Promise<PlacementRow | null> {
  const { rows } = await db.query<
    RawDepositRow & { payer_name: Buffer | null; payer_name_key: string | null; age_ms: string }
  >(
    `select ${DEPOSIT_COLUMNS}, n.payer_name, n.payer_name_key,
            (extract(epoch from clock_timestamp() - d.created_at) * 1000)::bigint as age_ms
       from engine.deposit d cross join lateral engine.payer_name_for_placement(d.external_order_number) n
      where external_order_number = $1`,
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
