import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../config/keys/secret.ts';

/**
 * The provider's signature does not cover the body, so the callback address proves which order it belongs to
 * (docs/reference/protocol.md#traps-and-so-rules). The address contains a keyed hash of the order number, which only
 * the engine can compute. It is derived, never stored.
 */
export interface CapabilityKey {
  readonly kid: string;
  readonly key: Secret;
}

/** Names the key by its own hash, so that a rotated key cannot be called by an old name. */
export const capabilityKey = (key: Secret): CapabilityKey => ({
  kid: createHash('sha256').update('mtpay-cb|kid|').update(key.reveal()).digest('hex').slice(0, 8),
  key,
});

export const CALLBACK_PATH = '/v1/callbacks/mtpay/:kid/:token';

/** Returns the callback address that the provider gets for this one order. */
export function callbackUrl(baseUrl: string, key: CapabilityKey, externalOrderNumber: string): string {
  return `${baseUrl}/v1/callbacks/mtpay/${key.kid}/${token(key, externalOrderNumber).toString('base64url')}`;
}

/** Constant-time. `kid` and `candidate` come from the address, the order number from the body. */
export function isCapabilityFor(
  key: CapabilityKey,
  kid: string,
  candidate: string,
  externalOrderNumber: string,
): boolean {
  const expected = token(key, externalOrderNumber);
  if (kid !== key.kid || !/^[A-Za-z0-9_-]{43}$/.test(candidate)) return false;
  // 43 characters hold 258 bits: compare the text as well, so that no second spelling of the same token passes.
  return timingSafeEqual(Buffer.from(expected.toString('base64url')), Buffer.from(candidate));
}

/** Returns the key that made this address for this order, or null. Tries every key, for any `kid`. */
export function capabilityOf(
  keys: readonly CapabilityKey[],
  kid: string,
  candidate: string,
  externalOrderNumber: string,
): CapabilityKey | null {
  const capable = keys.filter((key) => isCapabilityFor(key, kid, candidate, externalOrderNumber));
  return capable[0] ?? null;
}

const token = (key: CapabilityKey, externalOrderNumber: string): Buffer =>
  createHmac('sha256', key.key.reveal()).update(`mtpay-cb|v1|${externalOrderNumber}`).digest();
