import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Keyring } from '../config/keys/keyring.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { type CallbackRow, type FirstLook, type FirstMessage, receiveFirsts } from '../database/queries/callbacks.ts';
import { inTransaction } from '../database/pool.ts';
import { NO_MAC } from '../database/queries/seal-macs.ts';
import { type CapabilityKey, capabilityOf } from '../providers/callback-address.ts';
import type { ProviderClock } from '../providers/clock.ts';
import { MAX_AHEAD_MS } from '../domain/stamp-limits.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import { type CallbackMessage, type CallbackPort, MalformedCallback } from '../providers/port.ts';
import { BatcherFull, createBatcher } from '../ledger/batcher.ts';
import { countUnderWay, type UnderWay } from './admission-control.ts';
import { RequestRefused } from './refusal.ts';
import { QueueFull, KeyedQueue } from './keyed-queue.ts';
import { recognizeMessage, type RefusedMessage } from './message-recognition.ts';
import { mayBeFirst, type Message, route, routeFirst, routeRepeat, type Routing } from './route-callback.ts';

export interface ReceiveDependencies {
  readonly pool: pg.Pool;
  readonly provider: CallbackPort;
  readonly capabilities: Keyring<CapabilityKey>;
  readonly clock: ProviderClock;
  /** Signs each row that is written. */
  readonly seal: Sealer;
  /** Called with a committed inbox row that its workflow was not signaled about yet; must not throw or wait. */
  readonly signal: (callback: CallbackRow) => void;
  /** Whether the database holds no deposit although it should; absent: it may be empty. */
  readonly isEmpty?: () => Promise<boolean>;
  /** Counts the authentic messages that wait for the database, but not for a lock. */
  readonly underWay?: UnderWay;
  readonly log: Log;
}

export interface CallbackRequest {
  readonly kid: string;
  readonly token: string;
  readonly raw: Buffer;
}

/**
 * `ack`: durable here. `unauthorized`: one answer for every forgery. `unavailable`: not acknowledged, MTPay retries.
 */
export type CallbackAnswer = 'ack' | 'unauthorized' | 'unavailable';

export interface CallbackReceiver {
  /** Throws {@link RequestRefused} `invalid_request` when the message is no callback at all. */
  receive(request: CallbackRequest): Promise<CallbackAnswer>;
  /**
   * Called with every other refused message and its code, or the parser's. Raises an alarm when it is authentic all the
   * same.
   */
  refused(this: void, message: RefusedMessage, code: string): void;
}

/** No order is known, so this may be the wrong database: do not acknowledge, MTPay retries. */
class EmptyDatabase extends Error {
  override readonly name = 'EmptyDatabase';
}

const UNIQUE_VIOLATION = '23505';
/** Shorter than the provider's timeout. The queue of one order never grows beyond what an honest provider sends. */
const LANE_LIMITS = { maxWaiting: 100, maxWaitMs: 4_000 };
/**
 * Messages of different orders that wait at the same time share a statement and a commit. A message has at most 16 kB,
 * so a statement has at most some 1 MB.
 */
const BATCH = 16;
/** At once; with few connections half of them. */
const MAX_BATCHES = 4;
const QUEUE_LIMITS = { queueMax: 4_000, maxWaitMs: LANE_LIMITS.maxWaitMs };

/**
 * Checks a callback in the order of docs/reference/callbacks.md#checks-in-order and makes it durable before it is
 * acknowledged. Nothing is stored before the signature was verified. No message with a right address or a right
 * signature ends without a row or an alarm.
 */
export function createReceiver(deps: ReceiveDependencies): CallbackReceiver {
  const queue = createRoutingQueue(deps);
  return {
    async receive({ kid, token, raw }) {
      const claimed = read(deps.provider, raw);
      const keyId = authenticate(deps, kid, token, claimed);
      if (keyId === null) return 'unauthorized';
      const deposit = claimed.externalOrderNumber;
      try {
        const message = await date(deps, keyId, claimed);
        if (message === null) return 'unauthorized';
        crashPoint('cb.afterVerify');
        if ((await deps.isEmpty?.()) === true) throw new EmptyDatabase();

        const { answer, signal, alarm } = await queue(message);
        crashPoint('cb.afterCommit');
        if (alarm !== null) raiseAlarm(deps.log, alarm, { deposit, inboxId: signal?.id });
        // After the commit: the acknowledgement means "durable here" and never waits for Temporal.
        if (signal !== null && signal.raisedAt === null) deps.signal(signal);
        return answer;
      } catch (error) {
        const { name, code } = error as { name?: unknown; code?: unknown };
        if (code === NO_MAC) {
          raiseAlarm(deps.log, 'seal_key_not_registered', { deposit });
          return 'unavailable';
        }
        raiseAlarm(deps.log, 'callback_not_stored', { deposit, error: code ?? name });
        if (error instanceof QueueFull || error instanceof EmptyDatabase) return 'unavailable';
        throw error;
      }
    },
    refused: createWitness(deps),
  };
}

/** {@link CallbackReceiver.refused} alone, for a listener that takes no callbacks. */
export const createWitness =
  (deps: Pick<ReceiveDependencies, 'provider' | 'capabilities' | 'log'>): CallbackReceiver['refused'] =>
  (message, code) => {
    // After the response: the recognition takes time that a stranger could measure (timing attack).
    setImmediate(() => {
      const recognised = recognizeMessage(deps, message);
      if (recognised !== null) raiseAlarm(deps.log, 'callback_not_readable', { ...recognised, code });
    });
  };

function read(provider: CallbackPort, raw: Buffer): CallbackMessage {
  try {
    return provider.read(raw);
  } catch (error) {
    if (error instanceof MalformedCallback) throw new RequestRefused('invalid_request', error.message);
    throw error;
  }
}

/**
 * Verifies token and signature. Returns the name of the provider's key; null: refused, and the caller cannot see which
 * of the two was wrong.
 */
function authenticate(deps: ReceiveDependencies, kid: string, token: string, claimed: CallbackMessage): string | null {
  const { externalOrderNumber } = claimed;
  // Both are computed, whatever the first result is, against a timing attack.
  const capability = capabilityOf(deps.capabilities.verifying, kid, token, externalOrderNumber);
  const signer = claimed.signedBy();
  // After both were computed: a line in the log takes time that a stranger could measure.
  if (signer !== null && capability === null)
    setImmediate(() => raiseAlarm(deps.log, 'callback_good_signature_wrong_token', { claimed: externalOrderNumber }));
  if (signer === null && capability !== null)
    setImmediate(() => raiseAlarm(deps.log, 'callback_right_address_unknown_key', { deposit: externalOrderNumber }));
  if (capability === null || signer === null) return null;
  return signer;
}

/** Checks the time of the stamp and reads the content. Null: refused like a forgery, with an alarm of its own. */
async function date(deps: ReceiveDependencies, keyId: string, claimed: CallbackMessage): Promise<Message | null> {
  const { externalOrderNumber, timestampMs } = claimed;
  const { nowMs, skewMs } = await deps.clock.read();
  const aheadMs = timestampMs - nowMs;
  if (aheadMs > MAX_AHEAD_MS) {
    const deposit = externalOrderNumber;
    setImmediate(() => raiseAlarm(deps.log, 'callback_ahead', { deposit, aheadMs: Math.round(aheadMs) }));
    return null;
  }
  return {
    externalOrderNumber,
    timestampMs,
    reading: claimed.reading(),
    kept: () => claimed.kept(),
    keyId,
    aheadMs,
    stampedMs: timestampMs - skewMs,
    receivedMs: nowMs - skewMs,
  };
}

/**
 * Messages of one order wait here for each other, and not for the lock of its row while they hold a connection. Retries
 * of one content do not wait for other contents: an acknowledged one is only counted. Identical ones that wait become
 * one.
 */
function createRoutingQueue(
  deps: Pick<ReceiveDependencies, 'pool' | 'seal' | 'underWay'>,
): (message: Message) => Promise<Routing> {
  const { pool } = deps;
  const contents = new KeyedQueue<Routing>(LANE_LIMITS);
  const orders = new KeyedQueue<Routing>(LANE_LIMITS);
  const told = new WeakSet<Routing>();
  const routeOnce = createRouter(deps);
  return async (message) => {
    const { externalOrderNumber, timestampMs } = message;
    const content = `${externalOrderNumber} ${message.reading.contentHash.toString('base64')}`;
    const routing = await contents.run(content, `${message.keyId} ${timestampMs}`, async (copies) => {
      const counted = { ...message, copies };
      // Skipped when `routeFirst` can run at once: it recognizes a repeat by itself.
      const isAlone = mayBeFirst(counted) && !orders.isBusy(externalOrderNumber);
      const repeated = isAlone ? null : await routeRepeat(pool, counted);
      return repeated ?? orders.run(externalOrderNumber, content, () => routeOnce(counted));
    });
    // One of the identical messages signals the workflow.
    if (told.has(routing)) return { ...routing, signal: null };
    told.add(routing);
    return routing;
  };
}

/**
 * A message of an unknown order waits for no lock. So two processes can meet in the unique index, even if the order is
 * known by then. The second one tries again and finds the row of the first.
 */
function createRouter({
  pool,
  seal,
  underWay = countUnderWay(),
}: Pick<ReceiveDependencies, 'pool' | 'seal' | 'underWay'>): (message: Message) => Promise<Routing> {
  const { max } = pool.options;
  const batches = Math.min(MAX_BATCHES, Math.ceil(max / 2));
  const lookAt = batchesOf((messages: readonly FirstMessage[]) => receiveFirsts(pool, messages), BATCH, batches);
  // These may wait for a lock, and leave the batches their connections.
  const routeAlone = batchesOf(
    async ([message]: readonly Message[]) => [await inTransaction(pool, (client) => route(client, message!, seal))],
    1,
    Math.max(1, max - batches),
  );
  const look = (message: FirstMessage): Promise<FirstLook> => underWay.run(() => lookAt(message));
  return async (message) => {
    try {
      return (mayBeFirst(message) ? await routeFirst(look, message, seal) : null) ?? (await routeAlone(message));
    } catch (error) {
      if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
      return routeAlone(message);
    }
  };
}

/** Runs items in batches, so many at once. Rejects with {@link QueueFull} when an item was not begun. */
function batchesOf<I, O>(
  run: (items: readonly I[]) => Promise<readonly O[]>,
  max: number,
  lanes: number,
): (item: I) => Promise<O> {
  const add = createBatcher(run, { max, lanes, ...QUEUE_LIMITS });
  return (item) =>
    add(item).catch((error: unknown) => {
      throw error instanceof BatcherFull ? new QueueFull(error.message) : error;
    });
}
