import { createHmac, timingSafeEqual } from 'node:crypto';
import type { KeyPair } from '../../config/keys/keys.ts';
import { keyId } from '../key-names.ts';

/** The pair from "Merchant Service – API Token Management". */
export type MtpayKey = KeyPair;

/** Upper-case hex, as in the code example of the provider's documents. The shape is checked before the comparison. */
const SIGNATURE = /^[0-9A-F]{64}$/;

/**
 * Returns HMAC-SHA256 of `{access_key}_{timestamp}`, keyed with the secret key, in upper-case hex
 * (docs/reference/protocol.md#signature-both-directions). `timestampMs`: UTC milliseconds.
 */
export function sign(key: MtpayKey, timestampMs: number): string {
  return hmac(key, timestampMs).toString('hex').toUpperCase();
}

/** Compares digests in constant time. Returns false for anything that is not 64 upper-case hex digits. */
export function isSignedBy(key: MtpayKey, timestampMs: number, signature: string): boolean {
  // Computed before the shape is checked, so that every refusal takes the same time.
  const expected = hmac(key, timestampMs);
  return SIGNATURE.test(signature) && timingSafeEqual(expected, Buffer.from(signature, 'hex'));
}

/** Returns the key that made this signature, or null. Tries every key, so that timing does not reveal which matched. */
export function signerOf<K extends MtpayKey>(keys: readonly K[], timestampMs: number, signature: string): K | null {
  const signed = keys.filter((key) => isSignedBy(key, timestampMs, signature));
  return signed[0] ?? null;
}

/** Returns the key with its name, computed once, so that naming a signer gives no timing signal. */
export const named = (key: MtpayKey) => ({ ...key, id: keyId(key) });

function hmac(key: MtpayKey, timestampMs: number): Buffer {
  const text = `${key.accessKey.reveal().toString('utf8')}_${timestampMs}`;
  return createHmac('sha256', key.secretKey.reveal()).update(text).digest();
}
