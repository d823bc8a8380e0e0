import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { CallbackData, Payment } from '../domain/order.ts';
import type { Receipt, ReviewReason } from '../domain/review.ts';
import type { Seal, Sealer } from '../config/inbox-seal.ts';
import { type Page, pageTime, toPage } from './rows.ts';

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
  /** When its workflow accepted it last; null: never. */
  readonly raisedAt: Date | null;
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
  raised_at: Date | null;
  outcome: string | null;
}

const COLUMNS = `c.id, c.uid, c.external_order_number, c.deposit, c.data, c.receipt, c.review_reason, c.received_at, c.attempts, c.acked, c.raised_at, c.outcome`;

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
  raisedAt: row.raised_at,
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
  /** Without one no money is moved by the row's word. */
  readonly seal: Seal | null;
}

/**
 * A new row with its first attempt. Once the order is known, the stamp is bound to the content too, unless it stands for
 * another: only messages that are kept have a stamp, so that a flood of others fills no table.
 */
export async function insertCallback(
  client: pg.ClientBase,
  callback: NewCallback,
  stamp: Stamp | null = null,
): Promise<CallbackRow> {
  const { rows } = await client.query<RawCallbackRow>(
    `with c as (
       insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked, seal, seal_key, sealed_ms)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $12, $13, $14) returning *)
     , attempted as (
       insert into engine.callback_attempt (callback, n, key_id, timestamp_ms)
       select c.id, 1, $10, $11 from c where $10::text is not null on conflict do nothing)
     , bound as (
       insert into engine.callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
       select $10, $11, c.external_order_number, c.content_hash from c where $10::text is not null and c.deposit is not null
       on conflict do nothing)
     select ${COLUMNS} from c`,
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
      stamp?.keyId ?? null,
      stamp?.timestampMs ?? null,
      callback.seal?.signature ?? null,
      callback.seal?.key ?? null,
      callback.seal?.sealedMs ?? null,
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

/** Counts a repeat, or so many identical ones. Without a stamp nothing but the number is kept. */
export async function countAttempt(db: Db, id: string, stamp: Stamp | null = null, copies = 1): Promise<void> {
  await db.query(
    `with counted as (
       update engine.callback set attempts = attempts + $5, last_at = clock_timestamp() where id = $1 returning id, attempts)
     insert into engine.callback_attempt (callback, n, key_id, timestamp_ms)
     select id, n, $2, $3 from counted, generate_series(attempts - $5 + 1, least(attempts, $4)) n
      where $2::text is not null on conflict do nothing`,
    [id, stamp?.keyId ?? null, stamp?.timestampMs ?? null, MAX_ATTEMPTS_KEPT, copies],
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
 * The content that a stamp stands for with this order, or null: the one that came with it first, be it as a repeat or
 * while the order was unknown. Another than a message's own: one signature for two.
 */
export async function contentOfStamp(db: Db, stamp: Stamp, externalOrderNumber: string): Promise<Buffer | null> {
  const { rows } = await db.query<{ content_hash: Buffer }>(
    `(select content_hash from engine.callback_stamp where key_id = $1 and timestamp_ms = $2 and external_order_number = $3)
     union all
     (select c.content_hash from engine.callback c join engine.callback_attempt a on a.callback = c.id
       where c.external_order_number = $3 and a.key_id = $1 and a.timestamp_ms = $2 order by a.at, c.id limit 1)
     limit 1`,
    [stamp.keyId, stamp.timestampMs, externalOrderNumber],
  );
  return rows[0]?.content_hash ?? null;
}

/** Binds what the signature covers to what it does not, for a row that was there before its order. */
export async function bindStamp(
  client: pg.ClientBase,
  stamp: Stamp,
  externalOrderNumber: string,
  contentHash: Buffer,
): Promise<void> {
  await client.query(
    `insert into engine.callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
     values ($1, $2, $3, $4) on conflict do nothing`,
    [stamp.keyId, stamp.timestampMs, externalOrderNumber, contentHash],
  );
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

/** From when on an acknowledged row without effect is raised, in ms. */
export interface RaiseTimes {
  /** Since it was received, when it was never raised. */
  readonly freshMs: number;
  /** Since it was raised, when it was raised soon after it had come; later it is raised when its age has doubled. */
  readonly againMs: number;
  /** At most so long after it was raised. */
  readonly atMostMs: number;
}

/** Acknowledged rows without effect that a workflow has to be told of, whatever was noted about telling it; oldest first. */
export async function findToRaise(
  db: Db,
  times: RaiseTimes,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<CallbackRow>> {
  const { rows } = await db.query<RawCallbackRow & { cursor_at: string }>(
    `select ${COLUMNS}, ${pageTime('c.received_at')} as cursor_at from engine.callback c
      where outcome is null and acked
        and ((raised_at is null and received_at < clock_timestamp() - $1 * interval '1 millisecond')
          or raised_at < clock_timestamp() - greatest($2 * interval '1 millisecond',
                                                      least($3 * interval '1 millisecond', raised_at - received_at)))
        and (received_at, id) > ($4::timestamptz, $5::bigint)
      order by received_at, id limit $6`,
    [times.freshMs, times.againMs, times.atMostMs, after?.[0] ?? '-infinity', after?.[1] ?? '0', limit],
  );
  return toPage(rows, limit, toCallback, (row) => [row.cursor_at, row.id]);
}

/** Payments that were acknowledged and of which nothing came. Rows of kept messages that are not acknowledged do not count. */
export interface WithoutEffect {
  readonly count: number;
  /** Of the oldest, since it was received. */
  readonly ageMs: number;
  readonly deposit: string;
  readonly inboxId: string;
}

/** Null: there are none older than this. */
export async function findWithoutEffect(db: Db, olderThanMs: number): Promise<WithoutEffect | null> {
  const { rows } = await db.query<Omit<WithoutEffect, 'ageMs'> & { age_ms: string }>(
    `select external_order_number as deposit, id as "inboxId", (count(*) over ())::int as count,
            (extract(epoch from clock_timestamp() - received_at) * 1000)::bigint as age_ms
       from engine.callback
      where outcome is null and acked and received_at < clock_timestamp() - $1 * interval '1 millisecond'
      order by received_at limit 1`,
    [olderThanMs],
  );
  if (rows[0] === undefined) return null;
  const { age_ms, ...oldest } = rows[0];
  return { ...oldest, ageMs: Number(age_ms) };
}

/**
 * Orders with kept messages that wait for a routing: the order has turned up and its placing was begun, or it has been
 * unknown for longer than this.
 */
export async function findKeptOrders(
  db: Db,
  unknownForMs: number,
  after: readonly string[] | null,
  limit: number,
): Promise<Page<string>> {
  const { rows } = await db.query<{ n: string }>(
    `select c.external_order_number as n
       from engine.callback c left join engine.deposit d on d.external_order_number = c.external_order_number
      where c.outcome is null and not c.acked and c.external_order_number > $1
      group by c.external_order_number, d.external_order_number
     having case when d.external_order_number is null then min(c.received_at) < clock_timestamp() - $2 * interval '1 millisecond'
                 else d.state <> 'PLACING' or exists (select from engine.placement_attempt a where a.external_order_number = d.external_order_number) end
      order by 1 limit $3`,
    [after?.[0] ?? '', unknownForMs, limit],
  );
  return toPage(
    rows,
    limit,
    ({ n }) => n,
    ({ n }) => [n],
  );
}

/** A kept message as it came last: what it said, what signed it, and when. */
export interface KeptCallback extends CallbackRow {
  readonly contentHash: Buffer;
  /** Null: rows of before have none. */
  readonly stamp: (Stamp & { readonly cameMs: number }) | null;
}

/** The messages of an order that are kept and not acknowledged, in the order they came. */
export async function listKept(db: Db, externalOrderNumber: string): Promise<KeptCallback[]> {
  const { rows } = await db.query<
    RawCallbackRow & { content_hash: Buffer; key_id: string | null; timestamp_ms: string; came_ms: string }
  >(
    `select ${COLUMNS}, c.content_hash, a.key_id, a.timestamp_ms, (extract(epoch from a.at) * 1000)::bigint as came_ms
       from engine.callback c
       left join lateral (select * from engine.callback_attempt a where a.callback = c.id order by a.n desc limit 1) a on true
      where c.external_order_number = $1 and c.outcome is null and not c.acked order by c.received_at, c.id`,
    [externalOrderNumber],
  );
  return rows.map((row) => ({
    ...toCallback(row),
    contentHash: row.content_hash,
    stamp:
      row.key_id === null
        ? null
        : { keyId: row.key_id, timestampMs: Number(row.timestamp_ms), cameMs: Number(row.came_ms) },
  }));
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
  reason: 'RESTORED' | 'CASE_RESTORED',
  sealer: Sealer,
): Promise<CallbackRow | null> {
  const raw = Buffer.from(said, 'utf8');
  const { rows: clock } = await client.query<{ ms: string }>(
    'select extract(epoch from clock_timestamp()) * 1000 as ms',
  );
  const seal = sealer({
    receipt: 'restored',
    externalOrderNumber,
    contentHash,
    rawHash: createHash('sha256').update(raw).digest(),
    stamp: null,
    sealedMs: Number(clock[0]!.ms),
  });
  const { rows } = await client.query<RawCallbackRow>(
    `insert into engine.callback as c (external_order_number, deposit, content_hash, raw, receipt, review_reason, acked, seal, seal_key, sealed_ms)
     values ($1, (select d.external_order_number from engine.deposit d where d.external_order_number = $1), $2,
             $3, 'restored', $7, true, $4, $5, $6)
     on conflict do nothing returning ${COLUMNS}`,
    [externalOrderNumber, contentHash, raw, seal.signature, seal.key, seal.sealedMs, reason],
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
