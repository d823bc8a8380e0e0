import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { DepositState } from '../../domain/deposit.ts';
import type { CallbackData, Payment } from '../../domain/order.ts';
import type { Receipt, ReviewReason } from '../../domain/review.ts';
import type { NewSeal, Sealer } from '../../config/keys/inbox-seal.ts';
import type { Db } from '../pool.ts';
import { execute, type Statement, statement } from '../statements.ts';

/** An inbox row as its workflow receives it, without raw bytes. Ids are text, times Date. */
export interface CallbackRow {
  readonly id: string;
  /** Never reused, as an id is after a restore; null in older rows. */
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

export interface RawCallbackRow {
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

/** SQL: the columns of a {@link RawCallbackRow}, of a callback `c`. */
export const COLUMNS = `c.id, c.uid, c.external_order_number, c.deposit, c.data, c.receipt, c.review_reason, c.received_at, c.attempts, c.acked, c.raised_at, c.outcome`;

export const toCallback = (row: RawCallbackRow): CallbackRow => ({
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

/**
 * Returns the payment in an inbox row, as its deposit's workflow is signaled about it. Throws for an unreadable row.
 */
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

const oneWhere = (where: string): Statement => statement(`select ${COLUMNS} from engine.callback c where ${where}`);

async function one(db: Db, which: Statement, values: readonly unknown[]): Promise<CallbackRow | null> {
  const { rows } = await execute<RawCallbackRow>(db, which, values);
  return rows[0] === undefined ? null : toCallback(rows[0]);
}

const BY_ID = oneWhere('c.id = $1');
export const findCallback = (db: Db, id: string) => one(db, BY_ID, [id]);

const BY_CONTENT = oneWhere('c.external_order_number = $1 and c.content_hash = $2');
export const findByContent = (db: Db, externalOrderNumber: string, contentHash: Buffer) =>
  one(db, BY_CONTENT, [externalOrderNumber, contentHash]);

const NEWEST_KEPT = oneWhere('c.external_order_number = $1 and c.receipt = $2 order by c.id desc limit 1');
/** The newest kept message of an order with this receipt; extra ones are counted on it. */
export const newestKept = (db: Db, externalOrderNumber: string, receipt: Receipt) =>
  one(db, NEWEST_KEPT, [externalOrderNumber, receipt]);

/** How many contents of an order are kept with this receipt. */
export async function countKept(db: Db, externalOrderNumber: string, receipt: Receipt): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select count(*)::int as n from engine.callback where external_order_number = $1 and receipt = $2',
    [externalOrderNumber, receipt],
  );
  return rows[0]!.n;
}

/** The facts that decide about a message: the deposit under its lock, and earlier uses of the message's stamp. */
export interface Arrival {
  /** Null: there is no such deposit. */
  readonly state: DepositState | null;
  readonly listeningWindowMs: number;
  /** The payment that the deposit owns, and its code. */
  readonly bound: string | null;
  readonly boundCode: string | null;
  /** The row that has this content already. */
  readonly known: string | null;
  /** The first stamp of that row, by the provider's clock: its seal covers this one. Null: there is none. */
  readonly knownStampMs: number | null;
  /** That row was acknowledged: the message is a repeat, and nothing else was read. */
  readonly acked: boolean;
  /** Null: its stamp is none of ours. */
  readonly reflected: 'first time' | 'again' | null;
  /** The content that its stamp is bound to with this order: the one that came with it first; null: none yet. */
  readonly standsFor: Buffer | null;
  /** When the order was sent first, UTC milliseconds; null: never. */
  readonly firstSentMs: number | null;
}

const ARRIVING = statement(
  `select state, listening_ms as "listeningWindowMs", bound, bound_code as "boundCode", known, known_stamp_ms as "knownStampMs", coalesce(acked, false) as acked,
          reflected, stands_for as "standsFor", first_sent_ms as "firstSentMs" from engine.arriving($1, $2, $3, $4)`,
);

/**
 * Locks the deposit that a message claims and reads the facts that decide about the message, in one round trip. Notes
 * that its stamp has come back if it is one of ours. Without a content: the lock, and the deposit.
 */
export async function arriving(
  client: pg.ClientBase,
  externalOrderNumber: string,
  contentHash: Buffer | null = null,
  stamp: Stamp | null = null,
): Promise<Arrival> {
  const { rows } = await execute<
    Omit<Arrival, 'listeningWindowMs' | 'firstSentMs' | 'knownStampMs'> & {
      listeningWindowMs: string;
      firstSentMs: string | null;
      knownStampMs: string | null;
    }
  >(client, ARRIVING, [externalOrderNumber, contentHash, stamp?.keyId ?? null, stamp?.timestampMs ?? null]);
  const { listeningWindowMs, firstSentMs, knownStampMs, ...found } = rows[0]!;
  return {
    ...found,
    listeningWindowMs: Number(listeningWindowMs),
    firstSentMs: firstSentMs === null ? null : Number(firstSentMs),
    knownStampMs: knownStampMs === null ? null : Number(knownStampMs),
  };
}

/** The classification of a message. */
export interface Disposition {
  readonly receipt: Receipt;
  readonly reviewReason: ReviewReason | null;
}

export interface NewCallback extends Disposition {
  readonly externalOrderNumber: string;
  readonly contentHash: Buffer;
  readonly data: CallbackData | null;
  readonly raw: Uint8Array;
  readonly seal: NewSeal;
}

const RECEIVE = statement(
  `select ${COLUMNS} from engine.receive($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) c`,
);

/**
 * Inserts a row with its attempts, `copies` at once. It is acknowledged, unless the order is unknown and has not been
 * for long.
 * - Once the order is known, the stamp is bound to the content, unless it is bound to another. Each stamp needs a
 *   signature of its own, so a flood under one ticket adds one row.
 * - The first payment is bound to its deposit.
 * Throws SQLSTATE:
 * - 23505: another process has written this content;
 * - P0E60: no message may be classified so (docs/reference/database-roles.md);
 * - P0E61: the key of its seal is not registered, and another is.
 */
export async function insertCallback(
  client: pg.ClientBase,
  { externalOrderNumber, contentHash, data, raw, receipt, reviewReason, seal }: NewCallback,
  stamp: Stamp,
  copies = 1,
): Promise<CallbackRow> {
  const { rows } = await execute<RawCallbackRow>(client, RECEIVE, [
    externalOrderNumber,
    contentHash,
    data,
    raw,
    receipt,
    reviewReason,
    stamp.keyId,
    stamp.timestampMs,
    copies,
    seal.signature,
    seal.key,
    seal.sealedMs,
    seal.mac,
  ]);
  return toCallback(rows[0]!);
}

/** A message that becomes its deposit's payment unless something stands against it. */
export interface FirstMessage extends Omit<NewCallback, keyof Disposition> {
  readonly stamp: Stamp;
  /** Of its stamp, by the provider's clock. */
  readonly ageMs: number;
  /** Its order has to be sent by then, UTC milliseconds. */
  readonly sentByMs: number;
  readonly copies: number;
}

/**
 * What became of a message:
 * - `first`: the deposit's payment, written as {@link insertCallback} does.
 * - `repeat`: counted on an acknowledged row.
 * - Null: anything else, also a row that somebody else has locked; nothing was changed.
 */
export type FirstLook = { readonly kind: 'first' | 'repeat'; readonly row: CallbackRow } | null;

const RECEIVE_FIRSTS = statement(`select ord, did, ${COLUMNS.replaceAll('c.', '(c).')} from engine.receive_firsts($1)`);

const LOCK_TIMEOUT = '55P03';

/**
 * Judges messages and writes each as `first` if there is no objection, in one round trip and one transaction. Waits for
 * no lock of a deposit, and half a second for any other. One answer per message, in order. Throws SQLSTATE P0E61 as
 * {@link insertCallback} does; then none is written.
 */
export async function receiveFirsts(db: Db, messages: readonly FirstMessage[]): Promise<FirstLook[]> {
  const items = messages.map((message) => ({
    of_order: message.externalOrderNumber,
    content: hex(message.contentHash),
    says: message.data,
    bytes: hex(message.raw),
    by_key: message.stamp.keyId,
    at_ms: message.stamp.timestampMs,
    copies: message.copies,
    age_ms: message.ageMs,
    sent_by_ms: message.sentByMs,
    by_seal: hex(message.seal.signature),
    by_seal_key: message.seal.key,
    at_sealed_ms: message.seal.sealedMs,
    by_mac: hex(message.seal.mac),
  }));
  const looks = messages.map((): FirstLook => null);
  const { rows } = await execute<RawCallbackRow & { ord: string; did: 'first' | 'repeat' }>(db, RECEIVE_FIRSTS, [
    JSON.stringify(items),
  ]).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== LOCK_TIMEOUT) throw error;
    return { rows: [] };
  });
  for (const row of rows) looks[Number(row.ord) - 1] = { kind: row.did, row: toCallback(row) };
  return looks;
}

const hex = (bytes: Uint8Array): string =>
  `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`;

/** The time in a signed message, and the provider's key that signed it. */
export interface Stamp {
  readonly keyId: string;
  readonly timestampMs: number;
}

const COUNT_ATTEMPT = statement('select engine.count_attempt($1, $2, $3, $4, $5)');

/**
 * Counts a repeat, or `copies` identical ones; the first fifty are stored one by one. Without a stamp only the number
 * is stored. `other`: the content of a message that is only counted here; its stamp is bound to it all the same.
 */
export async function countAttempt(
  db: Db,
  id: string,
  stamp: Stamp | null = null,
  copies = 1,
  other: Buffer | null = null,
): Promise<void> {
  await execute(db, COUNT_ATTEMPT, [id, stamp?.keyId ?? null, stamp?.timestampMs ?? null, copies, other]);
}

/**
 * Gives a row its final routing, because its order is known now or has been unknown for long enough. The row gets
 * everything that a new one would; `copies` of it came again with this stamp. Not acknowledged: it is not long enough.
 */
export async function rerouteCallback(
  client: pg.ClientBase,
  id: string,
  to: Disposition,
  stamp: Stamp | null,
  copies = 0,
): Promise<CallbackRow> {
  const { rows } = await client.query<RawCallbackRow>(
    `select ${COLUMNS} from engine.reroute($1, $2, $3, $4, $5, $6) c`,
    [id, to.receipt, to.reviewReason, stamp?.keyId ?? null, stamp?.timestampMs ?? null, copies],
  );
  return toCallback(rows[0]!);
}

const LISTENER = 'deposit_api_listen_';
/** Returns a new name for the listening connection of an API process and for the channel that it alone listens on. */
export const listenerName = (): string => LISTENER + randomBytes(4).toString('hex');

/** Notifies one API process of a committed inbox row that has to be raised. If none listens, the relay raises it. */
export async function tellAccepted(db: Db, inboxId: string): Promise<void> {
  await db.query(
    `select pg_notify(name, $1) from (
       select application_name as name from pg_stat_activity
        where datname = current_database() and usename = session_user and application_name ~ $2 order by random() limit 1) listener`,
    [inboxId, `^${LISTENER}[0-9a-f]{8}$`],
  );
}

const BOUND = oneWhere(
  'c.data is not null and c.id = (select bound_callback from engine.deposit where external_order_number = $1)',
);
/** Returns the payment that the database has bound to a deposit, whatever a signal contained; null: none. */
export async function findBound(db: Db, externalOrderNumber: string): Promise<Payment | null> {
  const bound = await one(db, BOUND, [externalOrderNumber]);
  return bound === null ? null : paymentOf(bound);
}

/** Whether two payments are the same, to the last field. */
export const isSamePayment = (a: Payment, b: Payment): boolean =>
  a.inboxId === b.inboxId &&
  a.transactionCode === b.transactionCode &&
  a.transactionAmount === b.transactionAmount &&
  a.currencyCode === b.currencyCode &&
  a.paymentPrice === b.paymentPrice &&
  a.receivedAt === b.receivedAt;

/** A stored message as it came last: its content, its stamp, and when. */
export interface KeptCallback extends CallbackRow {
  readonly contentHash: Buffer;
  /** Null in older rows. */
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
      where c.external_order_number = $1 and num_nulls(c.outcome) = 1 and not c.acked order by c.received_at, c.id`,
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

/** A case that the engine has opened by itself. */
export interface OwnCase {
  readonly workflowId: string;
  readonly reason: ReviewReason;
  /** The report of a history, in a row that is restored; else empty. */
  readonly said: string;
}

/**
 * Opens the case of an acknowledged callback without an outcome, or returns the one that was opened before. Null: the
 * callback has an outcome, or another case about it is open.
 */
export async function openOwnCase(db: Db, id: string): Promise<OwnCase | null> {
  const { rows } = await db.query<OwnCase>(
    'select id as "workflowId", reason, detail as said from engine.open_case($1)',
    [id],
  );
  return rows[0] ?? null;
}

const RAISED = statement('select engine.raised($1, $2)');

/**
 * Notes that a workflow has accepted the callback. `inCase`: the workflow of its case, which is then the one outcome of
 * a callback that was not credited.
 */
export async function markRaised(db: Db, id: string, inCase = false): Promise<void> {
  await execute(db, RAISED, [id, inCase]);
}

/**
 * Inserts the row of a case about facts that PostgreSQL has lost and a history still has, with the report of that
 * history. The text is ours and holds ids and amounts only. Null: there is nothing to write, or it is there already.
 * - `RESTORED`: the deposit is open and owns no payment, and is adopted.
 * - `CASE_RESTORED`: a restore was noted.
 */
export async function insertRestored(
  client: pg.ClientBase,
  externalOrderNumber: string,
  said: string,
  reason: 'RESTORED' | 'CASE_RESTORED',
  sealer: Sealer,
): Promise<CallbackRow | null> {
  const { rows: clock } = await client.query<{ ms: string }>(
    'select extract(epoch from clock_timestamp()) * 1000 as ms',
  );
  const seal = sealer({
    receipt: 'restored',
    externalOrderNumber,
    contentHash: sha256(`restored|${said}`),
    rawHash: sha256(said),
    stamp: null,
    sealedMs: Number(clock[0]!.ms),
  });
  const { rows } = await client.query<RawCallbackRow>(
    `select ${COLUMNS} from engine.receive_restored($1, $2, $3, $4, $5, $6, $7) c`,
    [externalOrderNumber, said, reason, seal.signature, seal.key, seal.sealedMs, seal.mac],
  );
  return rows[0] === undefined ? null : toCallback(rows[0]);
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
