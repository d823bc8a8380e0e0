import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import type { Keyring } from '../config/keyring.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import type { CallbackRow } from '../database/callbacks.ts';
import { inTransaction } from '../database/pool.ts';
import { type Envelope, MalformedCallback, readData, readEnvelope } from '../mtpay/callback.ts';
import { type CapabilityKey, capabilityOf } from '../mtpay/capability.ts';
import type { ProviderClock } from '../mtpay/clock.ts';
import { keyId, type MtpayKey, signerOf } from '../mtpay/signature.ts';
import { ApiError } from './errors.ts';
import { type Message, route, routeRepeat } from './route-callback.ts';

export interface ReceiveDependencies {
  readonly pool: pg.Pool;
  readonly mtpayKeys: Keyring<MtpayKey>;
  readonly capabilities: Keyring<CapabilityKey>;
  readonly clock: ProviderClock;
  /** Told of a committed inbox row that a workflow has to hear of; must not throw or wait. */
  readonly raise: (callback: CallbackRow) => void;
  readonly log: Log;
}

export interface CallbackRequest {
  readonly kid: string;
  readonly token: string;
  readonly raw: Buffer;
}

/** `ack`: durable here. `unauthorized`: one answer for every forgery. `unavailable`: not stored, come again. */
export type ReceiveCallback = (request: CallbackRequest) => Promise<'ack' | 'unauthorized' | 'unavailable'>;

/** A stamp this far ahead of the provider's clock is no honest clock. */
const MAX_AHEAD_MS = 15 * 60_000;
const UNIQUE_VIOLATION = '23505';

/**
 * Checks a callback in the order of threats.md, section 3, and makes it durable before it is acknowledged. Nothing is
 * stored before the signature was verified. Throws {@link ApiError} `invalid_request` for what is no callback at all.
 */
export const createReceiver =
  (deps: ReceiveDependencies): ReceiveCallback =>
  async ({ kid, token, raw }) => {
    const envelope = read(raw);
    const message = await authenticate(deps, kid, token, raw, envelope);
    if (message === null) return 'unauthorized';
    crashPoint('cb.afterVerify');

    const { answer, raise, alarm } = await routeOnce(deps.pool, message);
    crashPoint('cb.afterCommit');
    if (alarm !== null)
      raiseAlarm(deps.log, alarm, { deposit: message.envelope.externalOrderNumber, inboxId: raise?.id });
    // After the commit: the acknowledgement means "durable here" and never waits for Temporal.
    if (raise !== null) deps.raise(raise);
    return answer;
  };

function read(raw: Buffer): Envelope {
  try {
    return readEnvelope(raw);
  } catch (error) {
    if (error instanceof MalformedCallback) throw new ApiError('invalid_request', error.message);
    throw error;
  }
}

/** Token, signature, time. Null: refused, and nobody outside learns which of them it was. */
async function authenticate(
  deps: ReceiveDependencies,
  kid: string,
  token: string,
  raw: Buffer,
  envelope: Envelope,
): Promise<Message | null> {
  // Both are computed whatever the first says, so that time tells nothing.
  const capability = capabilityOf(deps.capabilities.verifying, kid, token, envelope.externalOrderNumber);
  const signer = signerOf(deps.mtpayKeys.verifying, envelope.timestampMs, envelope.signature);
  // After the answer has been worked out: a line in the log takes time that a stranger could measure.
  if (signer !== null && capability === null)
    setImmediate(() => raiseAlarm(deps.log, 'callback_good_signature_wrong_token'));
  if (capability === null || signer === null) return null;
  const aheadMs = envelope.timestampMs - (await deps.clock.now());
  if (aheadMs > MAX_AHEAD_MS) return null;
  return {
    envelope,
    raw,
    reading: readData(envelope),
    keyId: keyId(signer),
    aheadMs,
    stampedMs: Date.now() + aheadMs,
  };
}

/** Two first messages for an order we do not have can meet in the unique index: the second then finds the first. */
async function routeOnce(pool: pg.Pool, message: Message) {
  const repeated = await routeRepeat(pool, message);
  if (repeated !== null) return repeated;
  try {
    return await inTransaction(pool, (client) => route(client, message));
  } catch (error) {
    if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
    return inTransaction(pool, (client) => route(client, message));
  }
}
