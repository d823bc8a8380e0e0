import type pg from 'pg';
import type { CallbackData, Payment } from '../domain/order.ts';
import type { Receipt, ReviewReason } from '../domain/review.ts';

type Db = pg.Pool | pg.ClientBase;

/** An inbox row as its workflow is told of it: no raw bytes. Ids are text, times Date. */
export interface CallbackRow {
  readonly id: string;
  /** Never given out again, as an id is after a restore; null in rows of before. */
  readonly uid: string | null;
  readonly externalOrderNumber: string;
  readonly deposit: string | null;
  readonly data: CallbackData | null;
  readonly receipt: Receipt;
  readonly reviewReason: ReviewReason | null;
  readonly receivedAt: Date;
  readonly attempts: number;
  readonly acked: boolean;
  readonly outcome: string | null;
}

interface RawCallbackRow {
  id: string;
  uid: string | null;
  external_order_number: string;
  deposit: string | null;
  data: CallbackData | null;
  receipt: Receipt;
  review_reason: ReviewReason | null;
  received_at: Date;
  attempts: number;
  acked: boolean;
  outcome: string | null;
}

const COLUMNS = `c.id, c.uid, c.external_order_number, c.deposit, c.data, c.receipt, c.review_reason, c.received_at, c.attempts, c.acked, c.outcome`;

const toCallback = (row: RawCallbackRow): CallbackRow => ({
  id: row.id,
  uid: row.uid,
  externalOrderNumber: row.external_order_number,
  deposit: row.deposit,
  data: row.data,
  receipt: row.receipt,
  reviewReason: row.review_reason,
  receivedAt: row.received_at,
  attempts: row.attempts,
  acked: row.acked,
  outcome: row.outcome,
});

/** What the deposit's workflow is told of its bound callback. */
export function paymentOf({ id, data, receivedAt }: CallbackRow): Payment {
  if (data === null) throw new Error(`inbox row ${id} could not be read and is no payment`);
  const { transactionCode, transactionAmount, currencyCode, paymentPrice } = data;
  return {
    inboxId: id,
    transactionCode,
    transactionAmount,
    currencyCode,
    paymentPrice,
    receivedAt: receivedAt.toISOString(),
  };
}

async function one(db: Db, where: string, values: readonly unknown[]): Promise<CallbackRow | null> {
  const { rows } = await db.query<RawCallbackRow>(`select ${COLUMNS} from engine.callback c where ${where}`, [
    ...values,
  ]);
  return rows[0] === undefined ? null : toCallback(rows[0]);
}

export const findCallback = (db: Db, id: string) => one(db, 'c.id = $1', [id]);

export const findByContent = (db: Db, externalOrderNumber: string, contentHash: Buffer) =>
  one(db, 'c.external_order_number = $1 and c.content_hash = $2', [externalOrderNumber, contentHash]);

/** The newest kept message of an order with this receipt; extra ones are counted on it. */
export const newestKept = (db: Db, externalOrderNumber: string, receipt: Receipt) =>
  one(db, 'c.external_order_number = $1 and c.receipt = $2 order by c.id desc limit 1', [externalOrderNumber, receipt]);

/** How many contents of an order are kept with this receipt. */
export async function countKept(db: Db, externalOrderNumber: string, receipt: Receipt): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select count(*)::int as n from engine.callback where external_order_number = $1 and receipt = $2',
    [externalOrderNumber, receipt],
  );
  return rows[0]!.n;
}

export interface NewCallback {
  readonly externalOrderNumber: string;
  readonly deposit: string | null;
  readonly contentHash: Buffer;
  readonly data: CallbackData | null;
  readonly raw: Uint8Array;
  readonly receipt: Receipt;
  readonly reviewReason: ReviewReason | null;
  readonly acked: boolean;
}

export async function insertCallback(client: pg.ClientBase, callback: NewCallback): Promise<CallbackRow> {
  const { rows } = await client.query<RawCallbackRow>(
    `insert into engine.callback as c (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning ${COLUMNS}`,
    [
      callback.externalOrderNumber,
      callback.deposit,
      callback.data?.transactionCode ?? null,
      callback.contentHash,
      callback.data,
      callback.raw,
      callback.receipt,
      callback.reviewReason,
      callback.acked,
    ],
  );
  return toCallback(rows[0]!);
}

/** What a message was signed with, under which of the provider's keys. */
export interface Stamp {
  readonly keyId: string;
  readonly timestampMs: number;
}

/** So many attempts of one content are kept one by one; more are counted only. */
const MAX_ATTEMPTS_KEPT = 50;

/** Counts a repeat. Without a stamp nothing but the number is kept. */
export async function countAttempt(db: Db, id: string, stamp: Stamp | null = null): Promise<void> {
  await db.query(
    `with counted as (
       update engine.callback set attempts = attempts + 1, last_at = clock_timestamp() where id = $1 returning id, attempts)
     insert into engine.callback_attempt (callback, n, key_id, timestamp_ms)
     select id, attempts, $2, $3 from counted where $2::text is not null and attempts <= $4 on conflict do nothing`,
    [id, stamp?.keyId ?? null, stamp?.timestampMs ?? null, MAX_ATTEMPTS_KEPT],
  );
}

/** The first of a new row. */
export async function noteFirstAttempt(client: pg.ClientBase, id: string, stamp: Stamp): Promise<void> {
  await client.query(
    'insert into engine.callback_attempt (callback, n, key_id, timestamp_ms) values ($1, 1, $2, $3) on conflict do nothing',
    [id, stamp.keyId, stamp.timestampMs],
  );
}

/** An order we did not know is known now, or has been unknown for long enough: the row gets its final routing. */
export async function rerouteCallback(
  client: pg.ClientBase,
  id: string,
  to: Pick<NewCallback, 'deposit' | 'receipt' | 'reviewReason' | 'acked'>,
): Promise<void> {
  await client.query(
    `update engine.callback set deposit = $2, receipt = $3, review_reason = $4, acked = $5 where id = $1`,
    [id, to.deposit, to.receipt, to.reviewReason, to.acked],
  );
}

export async function bindCallback(client: pg.ClientBase, externalOrderNumber: string, id: string): Promise<void> {
  await client.query('update engine.deposit set bound_callback = $2 where external_order_number = $1', [
    externalOrderNumber,
    id,
  ]);
}

/**
 * Binds what the signature covers to what it does not. Answers the content the stamp stands for: another than ours
 * means that one signature was used for two messages.
 */
export async function bindStamp(
  client: pg.ClientBase,
  stamp: {
    readonly keyId: string;
    readonly timestampMs: number;
    readonly externalOrderNumber: string;
    readonly contentHash: Buffer;
  },
): Promise<Buffer> {
  const values = [stamp.keyId, stamp.timestampMs, stamp.externalOrderNumber];
  await client.query(
    `insert into engine.callback_stamp (key_id, timestamp_ms, external_order_number, content_hash) values ($1, $2, $3, $4) on conflict do nothing`,
    [...values, stamp.contentHash],
  );
  const { rows } = await client.query<{ content_hash: Buffer }>(
    `select content_hash from engine.callback_stamp where key_id = $1 and timestamp_ms = $2 and external_order_number = $3`,
    values,
  );
  // An old one may have been pruned between the two statements: then only its age matters (docs/growth.md#what-prunes).
  return rows[0]?.content_hash ?? stamp.contentHash;
}

/** Whether we signed this very stamp ourselves, and whether it has come back before; remembers that it has now. */
export async function reflectOwnStamp(
  client: pg.ClientBase,
  keyId: string,
  timestampMs: number,
): Promise<'not ours' | 'first time' | 'again'> {
  const { rows } = await client.query<{ again: boolean }>(
    `with before as (select reflected_at from engine.own_stamp where key_id = $1 and timestamp_ms = $2 for update),
          now as (update engine.own_stamp set reflected_at = coalesce(reflected_at, clock_timestamp()) where key_id = $1 and timestamp_ms = $2)
     select reflected_at is not null as again from before`,
    [keyId, timestampMs],
  );
  if (rows[0] === undefined) return 'not ours';
  return rows[0].again ? 'again' : 'first time';
}

/** The payment that the database binds to a deposit, whatever anybody says; null: none. */
export async function findBound(db: Db, externalOrderNumber: string): Promise<Payment | null> {
  const bound = await one(
    db,
    'c.data is not null and c.id = (select bound_callback from engine.deposit where external_order_number = $1)',
    [externalOrderNumber],
  );
  return bound === null ? null : paymentOf(bound);
}

/** Whether two tellings of a payment are the same one, to the last field. */
export const isSamePayment = (a: Payment, b: Payment): boolean =>
  a.inboxId === b.inboxId &&
  a.transactionCode === b.transactionCode &&
  a.transactionAmount === b.transactionAmount &&
  a.currencyCode === b.currencyCode &&
  a.paymentPrice === b.paymentPrice &&
  a.receivedAt === b.receivedAt;

/** How long ago an order unknown to us was first claimed. */
export async function firstClaimAgeMs(db: Db, externalOrderNumber: string): Promise<number> {
  const { rows } = await db.query<{ age_ms: string | null }>(
    `select (extract(epoch from clock_timestamp() - min(received_at)) * 1000)::bigint as age_ms
       from engine.callback where external_order_number = $1 and receipt = 'unknown_order'`,
    [externalOrderNumber],
  );
  return Number(rows[0]?.age_ms ?? 0);
}

/**
 * Acknowledged rows without effect that a workflow has to be told of (rule 5): never raised and older than `freshMs`,
 * or raised more than `again` ago. Rows another relay works on are left to it.
 */
export async function findToRaise(db: Db, freshMs: number, againMs: number, limit: number): Promise<CallbackRow[]> {
  const { rows } = await db.query<RawCallbackRow>(
    `select ${COLUMNS} from engine.callback c
      where outcome is null and acked
        and ((raised_at is null and received_at < clock_timestamp() - $1 * interval '1 millisecond')
          or raised_at < clock_timestamp() - $2 * interval '1 millisecond')
      order by received_at limit $3`,
    [freshMs, againMs, limit],
  );
  return rows.map(toCallback);
}

export async function markRaised(db: Db, id: string): Promise<void> {
  await db.query('update engine.callback set raised_at = clock_timestamp() where id = $1', [id]);
}

/** The case is in a person's hands: the one outcome of a callback that was not credited. */
export async function markReviewed(db: Db, id: string, workflowId: string): Promise<void> {
  await db.query('update engine.callback set outcome = $2 where id = $1 and outcome is null', [
    id,
    `review:${workflowId}`,
  ]);
}

/**
 * A case for what PostgreSQL has lost and a history still knows: the row that it is about, with what the history says.
 * Null: it is there already. The text is ours and holds ids and amounts only.
 */
export async function insertRestored(
  client: pg.ClientBase,
  externalOrderNumber: string,
  contentHash: Buffer,
  said: string,
): Promise<CallbackRow | null> {
  const { rows } = await client.query<RawCallbackRow>(
    `insert into engine.callback as c (external_order_number, deposit, content_hash, raw, receipt, review_reason, acked)
     values ($1, $1, $2, convert_to($3, 'UTF8'), 'restored', 'RESTORED', true) on conflict do nothing returning ${COLUMNS}`,
    [externalOrderNumber, contentHash, said],
  );
  return rows[0] === undefined ? null : toCallback(rows[0]);
}

/** What a history said of a restored row. */
export async function saidOfRestored(db: Db, id: string): Promise<string> {
  const { rows } = await db.query<{ said: string }>(
    `select convert_from(raw, 'UTF8') as said from engine.callback where id = $1 and receipt = 'restored'`,
    [id],
  );
  return rows[0]?.said ?? '';
}
