import { createHash } from 'node:crypto';
import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Alarm } from '../telemetry/alarms.ts';
import {
  type Arrival,
  arriving,
  type CallbackRow,
  countAttempt,
  countKept,
  findByContent,
  findCallback,
  type FirstLook,
  type FirstMessage,
  insertCallback,
  type KeptCallback,
  listKept,
  type NewCallback,
  newestKept,
  rerouteCallback,
  type Disposition,
  type Stamp,
} from '../database/queries/callbacks.ts';
import { readClocks } from '../database/queries/provider-clock.ts';
import { type DepositState, isFinal } from '../domain/deposit.ts';
import type { Receipt, ReviewReason } from '../domain/review.ts';
import { AHEAD_NOISE_MS, BEFORE_ORDER_SLACK_MS, STAMPS_KEPT_MS } from '../domain/stamp-limits.ts';
import type { CallbackMessage, CallbackReading } from '../providers/port.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import type { Db } from '../database/pool.ts';

/** An authentic message, parsed once: the content that was hashed is stored, judged and booked. */
export interface Message extends Pick<CallbackMessage, 'externalOrderNumber' | 'timestampMs' | 'kept'> {
  readonly reading: CallbackReading;
  /** Which provider key verified it. */
  readonly keyId: string;
  /** Its stamp minus the provider's clock; negative for an old one. */
  readonly aheadMs: number;
  /** Its stamp by our own clock, UTC milliseconds, to compare with times of ours. */
  readonly stampedMs: number;
  /** The database's clock when it came, UTC milliseconds. */
  readonly receivedMs: number;
  /** How many identical messages came at once; default 1. */
  readonly copies?: number;
}

export interface Routing {
  readonly answer: 'ack' | 'unavailable';
  /** The inbox row that its workflow has to be signaled about, if any. */
  readonly signal: CallbackRow | null;
  readonly alarm: Alarm | null;
}

/** How long an order is unknown until its messages become cases, in ms; the same as `engine.unknown_for_long`. */
export const UNKNOWN_ORDER_MS = 6 * 3_600_000;
/**
 * How many contents of one order are stored for each receipt but `first`; more are counted on the newest row. Each
 * receipt has its own limit, so that a flood of one does not hide another.
 */
const MAX_KEPT = 20;

/**
 * Decides receipt, and only receipt, under the lock of the deposit row (docs/reference/lifecycle.md, L8). The first
 * authentic, readable callback is bound to the deposit; every other gets a review of its own. The judge decides money
 * later.
 */
export async function route(client: pg.ClientBase, message: Message, seal: Sealer): Promise<Routing> {
  const { externalOrderNumber, timestampMs } = message;
  const deposit = await arriving(client, externalOrderNumber, message.reading.contentHash, stampOf(message));
  const { known, acked, state, reflected } = deposit;
  if (acked) return repeat(client, (await findCallback(client, known!))!, message);

  // We signed this very stamp ourselves: alone it proves nothing (docs/internals/threat-model.md, T2). An honest one
  // may meet ours by chance.
  if (reflected === 'first time') return REFLECTED;

  // A message that was stored while its order was unknown keeps its first time, whatever stamp it comes with again.
  const stampedMs = message.stampedMs - timestampMs + Math.min(timestampMs, deposit.knownStampMs ?? timestampMs);
  const decision =
    state === null ? UNKNOWN_ORDER : decide({ ...message, stampedMs }, { ...deposit, state }, reflected === 'again');
  const newest = known === null ? await newestOfFull(client, externalOrderNumber, decision.receipt) : null;
  // The row of a message whose order was unknown exists already: only its receipt changes.
  if (newest !== null) return countOnly(client, newest, decision.receipt, message);
  const row = await store(client, message, known, seal, decision);
  crashPoint('cb.afterInboxInsert');
  if (row.receipt === 'first') return { answer: 'ack', signal: row, alarm: null };
  if (row.receipt !== 'unknown_order') return { answer: 'ack', signal: row, alarm: 'callback_review' };
  // Stored at once, but refused for hours, so that a restored backup can find it; then it becomes a case.
  const answer = row.acked ? 'ack' : 'unavailable';
  return { answer, signal: row.acked ? row : null, alarm: 'callback_unknown_order' };
}

/** Whether the message becomes `first` unless its deposit prevents it. */
export const mayBeFirst = ({ reading, aheadMs }: Message): boolean => reading.readable && aheadMs <= AHEAD_NOISE_MS;

/**
 * Routes the usual message in one look, which it may share with others: a first payment without an objection, or its
 * repeat. The row is sealed as `first` in advance, and the database stores it as nothing else. Null: nothing was
 * changed, and {@link route} decides.
 */
export async function routeFirst(
  lookAt: (message: FirstMessage) => Promise<FirstLook>,
  message: Message,
  seal: Sealer,
): Promise<Routing | null> {
  const { aheadMs, stampedMs, copies = 1 } = message;
  const [ageMs, sentByMs] = [-aheadMs, stampedMs + BEFORE_ORDER_SLACK_MS];
  const look = await lookAt({ ...sealed(message, FIRST, seal), stamp: stampOf(message), ageMs, sentByMs, copies });
  switch (look?.kind) {
    case 'first':
      return { answer: 'ack', signal: look.row, alarm: null };
    case 'repeat':
      return repeated(look.row);
    case undefined:
      return null;
  }
}

/**
 * Counts a repeat without the deposit's lock, because an acknowledged row stays acknowledged. So retries of one
 * callback do not wait for each other's transactions. Null: not a repeat, or not yet; {@link route} decides under the
 * lock.
 */
export async function routeRepeat(pool: pg.Pool, message: Message): Promise<Routing | null> {
  const { externalOrderNumber, reading } = message;
  const known = await findByContent(pool, externalOrderNumber, reading.contentHash);
  return known !== null && known.acked ? repeat(pool, known, message) : null;
}

/**
 * Returns the row to count on when enough contents of this receipt are stored. A `first` is always stored: it may be
 * the payment.
 */
async function newestOfFull(client: pg.ClientBase, externalOrderNumber: string, receipt: Receipt) {
  if (receipt === 'first' || (await countKept(client, externalOrderNumber, receipt)) < MAX_KEPT) return null;
  return newestKept(client, externalOrderNumber, receipt);
}

/**
 * Counts the message on the newest stored row and drops it. A readable one may be a payment: it is not acknowledged,
 * and MTPay retries. An unreadable one is acknowledged; twenty samples are enough. The stamp is bound to its content
 * all the same, unless it is too old to be taken or the order may still turn up.
 */
async function countOnly(
  client: pg.ClientBase,
  newest: CallbackRow,
  receipt: Receipt,
  message: Message,
): Promise<Routing> {
  const { reading } = message;
  const isTaken = receipt !== 'stale' && receipt !== 'unknown_order';
  await countAttempt(
    client,
    newest.id,
    isTaken ? stampOf(message) : null,
    message.copies,
    isTaken ? reading.contentHash : null,
  );
  return { answer: receipt === 'unreadable' ? 'ack' : 'unavailable', signal: null, alarm: 'callback_flood' };
}

/** Counts and acknowledges the same content again; it is raised again while it has no outcome. */
async function repeat(db: Db, known: CallbackRow, message: Message): Promise<Routing> {
  await countAttempt(db, known.id, stampOf(message), message.copies);
  return repeated(known);
}

const repeated = (known: CallbackRow): Routing => ({
  answer: 'ack',
  signal: known.outcome === null ? known : null,
  alarm: null,
});

const stampOf = ({ keyId, timestampMs }: Message): Stamp => ({ keyId, timestampMs });

const review = (receipt: Receipt, reviewReason: ReviewReason): Disposition => ({ receipt, reviewReason });

const UNKNOWN_ORDER = review('unknown_order', 'UNKNOWN_ORDER');
const FIRST: Disposition = { receipt: 'first', reviewReason: null };
const REFLECTED: Routing = { answer: 'unavailable', signal: null, alarm: 'callback_reflected' };

/** The facts of a message that the receipt depends on. */
type Judged = Pick<Message, 'reading' | 'aheadMs' | 'stampedMs'>;

/**
 * Returns the gravest objection to binding this message to the deposit, or `first`. `engine.receive_firsts` has the case
 * without an objection in SQL: change both together (test/database/queries/first-look.test.ts compares them).
 */
function decide(message: Judged, deposit: Arrival & { readonly state: DepositState }, reflected: boolean): Disposition {
  const { reading } = message;
  const { state, bound, boundCode, firstSentMs } = deposit;
  const stamped = deposit.standsFor ?? reading.contentHash;
  if (!reading.readable) return review('unreadable', 'UNREADABLE');
  if (!stamped.equals(reading.contentHash)) return review('other_content', 'STAMP_REUSED');
  if (reflected) return review('reflected', 'REFLECTED');
  if (message.aheadMs > AHEAD_NOISE_MS) return review('ahead', 'STAMP_AHEAD');
  const isTaken = bound !== null || isFinal(state);
  if (isTaken && -message.aheadMs > STAMPS_KEPT_MS) return review('stale', 'STALE');
  if (bound !== null) {
    const sameCode = boundCode === reading.data.transactionCode;
    return review(isFinal(state) && !sameCode ? 'final' : 'other_content', sameCode ? 'OTHER_CONTENT' : 'SECOND_CODE');
  }
  if (isFinal(state)) return review('final', 'DEPOSIT_FINAL');
  if (-message.aheadMs > deposit.listeningWindowMs) return review('stale', 'STALE');
  if (firstSentMs === null || message.stampedMs < firstSentMs - BEFORE_ORDER_SLACK_MS) {
    return review('stale', 'STAMP_BEFORE_ORDER');
  }
  return FIRST;
}

/**
 * Routes the stored messages of an order without another delivery. If the order has turned up, each is routed as its
 * own repeat would be; if it has been unknown for its time, each becomes a case. The first that fits is bound. Empty:
 * not yet.
 */
export async function routeKept(client: pg.ClientBase, externalOrderNumber: string): Promise<Routing[]> {
  await arriving(client, externalOrderNumber);
  const { skewMs } = await readClocks(client);
  const routings: Routing[] = [];
  for (const kept of await listKept(client, externalOrderNumber)) {
    const deposit = await arriving(client, externalOrderNumber, kept.contentHash, kept.stamp);
    const { state } = deposit;
    const decision = state === null ? UNKNOWN_ORDER : decideKept(kept, { ...deposit, state }, skewMs);
    const row = await rerouteCallback(client, kept.id, decision, kept.stamp);
    if (!row.acked) break;
    const alarm = state === null ? 'callback_unknown_order' : 'callback_review';
    routings.push({ answer: 'ack', signal: row, alarm: decision.receipt === 'first' ? null : alarm });
  }
  return routings;
}

/**
 * Judges by the newest stamp and the time of that delivery, but by the oldest stamp whether it is from before the
 * order.
 */
function decideKept(
  { data, contentHash, stamp }: KeptCallback,
  deposit: Arrival & { readonly state: DepositState },
  skewMs: number,
): Disposition {
  // A row of an older version has no stamp: nothing shows that it is newer than the order.
  if (stamp === null) return review('stale', 'STAMP_BEFORE_ORDER');
  const { timestampMs, cameMs } = stamp;
  const reading =
    data === null
      ? { readable: false as const, fault: 'could not be read when it came', contentHash }
      : { readable: true as const, data, contentHash };
  const stampedMs = timestampMs - skewMs;
  const firstMs = Math.min(timestampMs, deposit.knownStampMs ?? timestampMs) - skewMs;
  const judged = { reading, aheadMs: stampedMs - cameMs, stampedMs: firstMs };
  return decide(judged, deposit, deposit.reflected !== null);
}

/** Inserts a new row, or gives a row its final routing that was stored while its order was unknown. */
async function store(
  client: pg.ClientBase,
  message: Message,
  known: string | null,
  seal: Sealer,
  to: Disposition,
): Promise<CallbackRow> {
  const { copies = 1 } = message;
  const stamp = stampOf(message);
  if (known !== null) return rerouteCallback(client, known, to, stamp, copies);
  return insertCallback(client, sealed(message, to, seal), stamp, copies);
}

/** The row of a message, with its seal. */
function sealed(message: Message, to: Disposition, seal: Sealer): NewCallback {
  const { externalOrderNumber, reading, receivedMs } = message;
  const { contentHash } = reading;
  const raw = message.kept();
  const rawHash = createHash('sha256').update(raw).digest();
  const facts = { receipt: to.receipt, externalOrderNumber, contentHash, rawHash, stamp: stampOf(message) };
  const data = reading.readable ? reading.data : null;
  return { externalOrderNumber, contentHash, data, raw, ...to, seal: seal({ ...facts, sealedMs: receivedMs }) };
}
