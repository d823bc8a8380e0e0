import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Keyring } from '../config/keys/keyring.ts';
import { type Log, raiseAlarm } from '../telemetry/log.ts';
import type { CallbackRow } from '../database/queries/callbacks.ts';
import { inTransaction } from '../database/pool.ts';
import { NO_MAC } from '../database/queries/seal-macs.ts';
import { type CapabilityKey, capabilityOf } from '../providers/callback-address.ts';
import type { ProviderClock } from '../providers/clock.ts';
import { MAX_AHEAD_MS } from '../domain/stamp-limits.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import { type CallbackMessage, type CallbackPort, MalformedCallback } from '../providers/port.ts';
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
  /** Told of a committed inbox row that a workflow has to hear of and has not yet; must not throw or wait. */
  readonly signal: (callback: CallbackRow) => void;
  /** Whether the database holds no deposit though it should; not given: it may. */
  readonly isEmpty?: () => Promise<boolean>;
  readonly log: Log;
}

export interface CallbackRequest {
  readonly kid: string;
  readonly token: string;
  readonly raw: Buffer;
}

/** `ack`: durable here. `unauthorized`: one answer for every forgery. `unavailable`: not stored, come again. */
export type CallbackAnswer = 'ack' | 'unauthorized' | 'unavailable';

export interface CallbackReceiver {
  /** Throws {@link RequestRefused} `invalid_request` for what is no callback at all. */
  receive(request: CallbackRequest): Promise<CallbackAnswer>;
  /** Told of whatever else is refused, with its code or the parser's: what is authentic all the same is an alarm. */
  refused(this: void, message: RefusedMessage, code: string): void;
}

/** No order is known, so this may be another database than the one that was: the provider comes again. */
class EmptyDatabase extends Error {
  override readonly name = 'EmptyDatabase';
}

const UNIQUE_VIOLATION = '23505';
/** Below what the provider waits for an answer; the queue of one order never grows beyond what an honest provider sends. */
const LANE_LIMITS = { maxWaiting: 100, maxWaitMs: 4_000 };

/**
 * Checks a callback in the order of docs/reference/callbacks.md#checks-in-order and makes it durable before it is acknowledged. Nothing is
 * stored before the signature was verified. No message with a right address or a right signature ends without a row or
 * an alarm.
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
    // After the answer: what is recognised takes time that a stranger could measure.
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

/** Token and signature. Returns the name of the key; null: refused, and nobody outside learns which of them it was. */
function authenticate(deps: ReceiveDependencies, kid: string, token: string, claimed: CallbackMessage): string | null {
  const { externalOrderNumber } = claimed;
  // Both are computed whatever the first says, so that time tells nothing.
  const capability = capabilityOf(deps.capabilities.verifying, kid, token, externalOrderNumber);
  const signer = claimed.signedBy();
  // After the answer has been worked out: a line in the log takes time that a stranger could measure.
  if (signer !== null && capability === null)
    setImmediate(() => raiseAlarm(deps.log, 'callback_good_signature_wrong_token', { claimed: externalOrderNumber }));
  if (signer === null && capability !== null)
    setImmediate(() => raiseAlarm(deps.log, 'callback_right_address_unknown_key', { deposit: externalOrderNumber }));
  if (capability === null || signer === null) return null;
  return signer;
}

/** Time, and the content. Null: refused like what is not authentic, with an alarm of its own. */
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
 * Messages of one order wait here for each other, not for the lock of its row with a connection in hand. Retries of one
 * content do not wait for other contents: what was acknowledged is only counted. Identical ones that wait are one.
 */
function createRoutingQueue({
  pool,
  seal,
}: Pick<ReceiveDependencies, 'pool' | 'seal'>): (message: Message) => Promise<Routing> {
  const contents = new KeyedQueue<Routing>(LANE_LIMITS);
  const orders = new KeyedQueue<Routing>(LANE_LIMITS);
  const told = new WeakSet<Routing>();
  return async (message) => {
    const { externalOrderNumber, timestampMs } = message;
    const content = `${externalOrderNumber} ${message.reading.contentHash.toString('base64')}`;
    const routing = await contents.run(content, `${message.keyId} ${timestampMs}`, async (copies) => {
      const counted = { ...message, copies };
      // Only what the first look answers by itself, and at once, is spared this one.
      const isAlone = mayBeFirst(counted) && !orders.isBusy(externalOrderNumber);
      const repeated = isAlone ? null : await routeRepeat(pool, counted);
      return repeated ?? orders.run(externalOrderNumber, content, () => routeOnce(pool, counted, seal));
    });
    // Of identical ones one tells the workflow.
    if (told.has(routing)) return { ...routing, signal: null };
    told.add(routing);
    return routing;
  };
}

/**
 * What is kept while its order is unknown waits for no lock: two processes can meet in the unique index, be the order known by
 * then or not. The second finds the first.
 */
async function routeOnce(pool: pg.Pool, message: Message, seal: Sealer) {
  const anyhow = () => inTransaction(pool, (client) => route(client, message, seal));
  try {
    return (mayBeFirst(message) ? await routeFirst(pool, message, seal) : null) ?? (await anyhow());
  } catch (error) {
    if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
    return anyhow();
  }
}
