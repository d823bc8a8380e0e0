import { createHash } from 'node:crypto';
import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import type { Alarm } from '../config/log.ts';
import {
  bindCallback,
  bindStamp,
  contentOfStamp,
  type CallbackRow,
  countAttempt,
  countKept,
  findByContent,
  findCallback,
  firstClaimAgeMs,
  insertCallback,
  type KeptCallback,
  listKept,
  newestKept,
  reflectOwnStamp,
  rerouteCallback,
} from '../database/callbacks.ts';
import { lockDeposit } from '../database/deposits.ts';
import { placementFacts } from '../database/placements.ts';
import { readClocks } from '../database/provider-clock.ts';
import type { DepositRow } from '../database/rows.ts';
import { isFinal } from '../domain/deposit.ts';
import type { Receipt, ReviewReason } from '../domain/review.ts';
import type { Envelope, Reading } from '../mtpay/callback.ts';
import type { Sealer } from '../config/inbox-seal.ts';

/** An authentic message: parsed once; what was hashed is what is stored, judged and booked. */
export interface Message {
  readonly envelope: Envelope;
  readonly raw: Uint8Array;
  readonly reading: Reading;
  /** Which provider key verified it. */
  readonly keyId: string;
  /** Its stamp minus the provider's clock; negative for an old one. */
  readonly aheadMs: number;
  /** Its stamp as our own clock would have told it, to compare with times of ours. */
  readonly stampedMs: number;
  /** The database's clock when it came, UTC milliseconds. */
  readonly receivedMs: number;
  /** So many identical ones came at once; 1 unless said. */
  readonly copies?: number;
}

export interface Routing {
  readonly answer: 'ack' | 'unavailable';
  /** The inbox row a workflow has to hear of, if any. */
  readonly raise: CallbackRow | null;
  readonly alarm: Alarm | null;
}

/** Stamps up to here ahead are clock noise; further ones are kept for people. */
const AHEAD_NOISE_MS = 2 * 60_000;
/** How much older than our sending a stamp may be. */
const BEFORE_ORDER_SLACK_MS = 5 * 60_000;
/** An order we do not know may be in a backup we have not restored yet: the provider is kept retrying for this long. */
export const UNKNOWN_ORDER_MS = 6 * 3_600_000;
/**
 * Contents kept of one order for each receipt but `first`; more are counted on the newest. Each kind has its own, so
 * that a flood of one does not hide another from people.
 */
const MAX_KEPT = 20;
/**
 * Stamps are kept for a week at least (014-growth.sql), whether the deposit has ended or not; a day less, because clocks
 * differ. What is older may have been refused for a stamp that is gone.
 */
const STAMPS_KEPT_MS = 6 * 24 * 3_600_000;

/**
 * Decides receipt, and only receipt, under the lock of the deposit row (rule 1): the first authentic, readable callback
 * is bound to the deposit; every other gets a review of its own. The judge decides money later.
 */
export async function route(client: pg.ClientBase, message: Message, seal: Sealer): Promise<Routing> {
  const { externalOrderNumber } = message.envelope;
  const { contentHash } = message.reading;
  const deposit = await lockDeposit(client, externalOrderNumber);
  const known = await findByContent(client, externalOrderNumber, contentHash);
  if (known !== null && known.acked) return repeat(client, known, message);

  // We signed this very stamp ourselves: alone it proves nothing (threats.md, T2). An honest one may meet ours by chance.
  const reflected = await reflectOwnStamp(client, message.keyId, message.envelope.timestampMs);
  if (reflected === 'first time') return { answer: 'unavailable', raise: null, alarm: 'callback_reflected' };

  if (deposit === null) return routeUnknownOrder(client, message, known, seal);
  const decision = await decide(client, message, deposit, reflected === 'again');
  const newest = await newestOfFull(client, externalOrderNumber, decision.receipt);
  // A row kept while the order was unknown is there already: it only changes its kind.
  if (newest !== null && known === null) return countOnly(client, newest, decision.receipt, message);
  const row = await store(client, message, known, seal, { deposit: externalOrderNumber, ...decision, acked: true });
  if (decision.receipt === 'first') await bindCallback(client, externalOrderNumber, row.id);
  crashPoint('cb.afterInboxInsert');
  return { answer: 'ack', raise: row, alarm: decision.receipt === 'first' ? null : 'callback_review' };
}

/**
 * A repeat without the deposit's lock, because what was acknowledged stays so: retries of one callback do not wait for
 * each other's transactions. Null: not a repeat, or not yet; {@link route} decides that under the lock.
 */
export async function routeRepeat(pool: pg.Pool, message: Message): Promise<Routing | null> {
  const { envelope, reading } = message;
  const known = await findByContent(pool, envelope.externalOrderNumber, reading.contentHash);
  return known !== null && known.acked ? repeat(pool, known, message) : null;
}

/** The row to count on when enough contents of this kind are kept. A first one is always taken: it may be the payment. */
async function newestOfFull(client: pg.ClientBase, externalOrderNumber: string, receipt: Receipt) {
  if (receipt === 'first' || (await countKept(client, externalOrderNumber, receipt)) < MAX_KEPT) return null;
  return newestKept(client, externalOrderNumber, receipt);
}

/**
 * Counted on the newest and not kept. What can be read may be money, and what is not kept is not acknowledged: the
 * provider comes again. Of what cannot be read twenty tell people as much as any more would. Its stamp stands for it all
 * the same, unless nothing with that stamp is taken any more.
 */
async function countOnly(
  client: pg.ClientBase,
  newest: CallbackRow,
  receipt: Receipt,
  message: Message,
): Promise<Routing> {
  const { envelope, reading } = message;
  if (receipt !== 'stale') await bindStamp(client, stampOf(message), envelope.externalOrderNumber, reading.contentHash);
  await countAttempt(client, newest.id, null, message.copies);
  return { answer: receipt === 'unreadable' ? 'ack' : 'unavailable', raise: null, alarm: 'callback_flood' };
}

/** The same content again: counted, acknowledged, and raised again if its effect is still missing. */
async function repeat(db: pg.Pool | pg.ClientBase, known: CallbackRow, message: Message): Promise<Routing> {
  await countAttempt(db, known.id, stampOf(message), message.copies);
  return { answer: 'ack', raise: known.outcome === null ? known : null, alarm: null };
}

const stampOf = ({ keyId, envelope }: Judged) => ({ keyId, timestampMs: envelope.timestampMs });

interface Decision {
  readonly receipt: Receipt;
  readonly reviewReason: ReviewReason | null;
}

const review = (receipt: Receipt, reviewReason: ReviewReason): Decision => ({ receipt, reviewReason });

/** What a message is judged by. */
type Judged = Pick<Message, 'reading' | 'keyId' | 'aheadMs' | 'stampedMs'> & {
  readonly envelope: Pick<Envelope, 'timestampMs'>;
};

/** What stands against binding this message to the deposit, the gravest first. */
async function decide(
  client: pg.ClientBase,
  message: Judged,
  deposit: DepositRow,
  reflected: boolean,
): Promise<Decision> {
  const { reading } = message;
  const { externalOrderNumber } = deposit;
  const stamped = (await contentOfStamp(client, stampOf(message), externalOrderNumber)) ?? reading.contentHash;
  if (!reading.readable) return review('unreadable', 'UNREADABLE');
  if (!stamped.equals(reading.contentHash)) return review('other_content', 'STAMP_REUSED');
  if (reflected) return review('reflected', 'REFLECTED');
  if (message.aheadMs > AHEAD_NOISE_MS) return review('ahead', 'STAMP_AHEAD');
  const isTaken = deposit.boundCallback !== null || isFinal(deposit.state);
  if (isTaken && -message.aheadMs > STAMPS_KEPT_MS) return review('stale', 'STALE');
  if (deposit.boundCallback !== null) {
    const bound = await findCallback(client, deposit.boundCallback);
    const sameCode = bound?.data?.transactionCode === reading.data.transactionCode;
    return review(
      isFinal(deposit.state) && !sameCode ? 'final' : 'other_content',
      sameCode ? 'OTHER_CONTENT' : 'SECOND_CODE',
    );
  }
  if (isFinal(deposit.state)) return review('final', 'DEPOSIT_FINAL');
  if (-message.aheadMs > deposit.settings.listeningWindowMs) return review('stale', 'STALE');
  const { firstSentMs } = await placementFacts(client, externalOrderNumber);
  if (firstSentMs === null || message.stampedMs < firstSentMs - BEFORE_ORDER_SLACK_MS) {
    return review('stale', 'STAMP_BEFORE_ORDER');
  }
  return { receipt: 'first', reviewReason: null };
}

/** Kept from the first sight, refused for hours so that a restored backup can find it, then handed to people. */
async function routeUnknownOrder(
  client: pg.ClientBase,
  message: Message,
  known: CallbackRow | null,
  seal: Sealer,
): Promise<Routing> {
  const { externalOrderNumber } = message.envelope;
  const newest = known === null ? await newestOfFull(client, externalOrderNumber, 'unknown_order') : null;
  if (newest !== null) {
    await countAttempt(client, newest.id, null, message.copies);
    // What is not kept is not acknowledged either: the order may still turn up, and then this may be its payment.
    return { answer: 'unavailable', raise: null, alarm: 'callback_flood' };
  }
  const acked = (await firstClaimAgeMs(client, externalOrderNumber)) > UNKNOWN_ORDER_MS;
  const row = await store(client, message, known, seal, {
    deposit: null,
    ...review('unknown_order', 'UNKNOWN_ORDER'),
    acked,
  });
  return { answer: acked ? 'ack' : 'unavailable', raise: acked ? row : null, alarm: 'callback_unknown_order' };
}

/**
 * The kept messages of an order, without another delivery: each is routed as its own repeat would be when the order has
 * turned up, and given to people when it has been unknown for its time. The first that fits is bound. Empty: not yet.
 */
export async function routeKept(
  client: pg.ClientBase,
  externalOrderNumber: string,
  unknownForMs: number,
): Promise<Routing[]> {
  const deposit = await lockDeposit(client, externalOrderNumber);
  if (deposit === null && (await firstClaimAgeMs(client, externalOrderNumber)) <= unknownForMs) return [];
  const { skewMs } = await readClocks(client);
  const routings: Routing[] = [];
  for (const kept of await listKept(client, externalOrderNumber)) {
    const decision =
      deposit === null
        ? review('unknown_order', 'UNKNOWN_ORDER')
        : await decideKept(client, kept, (await lockDeposit(client, externalOrderNumber))!, skewMs);
    await rerouteCallback(client, kept.id, { deposit: deposit?.externalOrderNumber ?? null, ...decision, acked: true });
    if (deposit !== null && kept.stamp !== null)
      await bindStamp(client, kept.stamp, externalOrderNumber, kept.contentHash);
    if (decision.receipt === 'first') await bindCallback(client, externalOrderNumber, kept.id);
    const row = (await findCallback(client, kept.id))!;
    const alarm = deposit === null ? 'callback_unknown_order' : 'callback_review';
    routings.push({ answer: 'ack', raise: row, alarm: decision.receipt === 'first' ? null : alarm });
  }
  return routings;
}

/** By the stamp it came with last, and by when it came with it. */
async function decideKept(
  client: pg.ClientBase,
  { data, contentHash, stamp }: KeptCallback,
  deposit: DepositRow,
  skewMs: number,
): Promise<Decision> {
  // Of before stamps were kept: nothing says that it is newer than the order.
  if (stamp === null) return review('stale', 'STAMP_BEFORE_ORDER');
  const { keyId, timestampMs, cameMs } = stamp;
  const reading =
    data === null
      ? { readable: false as const, fault: 'could not be read when it came', contentHash }
      : { readable: true as const, data, contentHash };
  const stampedMs = timestampMs - skewMs;
  const judged = { envelope: { timestampMs }, reading, keyId, aheadMs: stampedMs - cameMs, stampedMs };
  const reflected = (await reflectOwnStamp(client, keyId, timestampMs)) !== 'not ours';
  return decide(client, judged, deposit, reflected);
}

interface Placed extends Decision {
  readonly deposit: string | null;
  readonly acked: boolean;
}

/** A new row, or the final routing of one that was kept while its order was unknown. */
async function store(
  client: pg.ClientBase,
  message: Message,
  known: CallbackRow | null,
  seal: Sealer,
  to: Placed,
): Promise<CallbackRow> {
  const { reading, copies = 1 } = message;
  const { externalOrderNumber } = message.envelope;
  const stamp = stampOf(message);
  if (known === null) {
    const raw = withoutSignature(message);
    const facts = { receipt: to.receipt, externalOrderNumber, contentHash: reading.contentHash, stamp };
    const rawHash = createHash('sha256').update(raw).digest();
    const row = await insertCallback(
      client,
      {
        externalOrderNumber,
        contentHash: reading.contentHash,
        data: reading.readable ? reading.data : null,
        raw,
        ...to,
        seal: seal({ ...facts, rawHash, sealedMs: message.receivedMs }),
      },
      stamp,
    );
    if (copies > 1) await countAttempt(client, row.id, stamp, copies - 1);
    return row;
  }
  await rerouteCallback(client, known.id, to);
  if (to.deposit !== null) await bindStamp(client, stamp, externalOrderNumber, reading.contentHash);
  await countAttempt(client, known.id, stamp, copies);
  return (await findCallback(client, known.id))!;
}

/** The message as it came, but for the signature: a stored one would be a ticket for that millisecond (threats.md, T3). */
function withoutSignature({ raw, envelope }: Message): Buffer {
  const text = Buffer.from(raw).toString('utf8');
  // String by string, so that no spelling of it (\u0041 for A) stays behind, and no text that it is part of.
  const kept = text.replace(/"(?:[^"\\]|\\.)*"/g, (found) =>
    (JSON.parse(found) as string).toUpperCase().includes(envelope.signature) ? '"[signature]"' : found,
  );
  return Buffer.from(kept, 'utf8');
}
