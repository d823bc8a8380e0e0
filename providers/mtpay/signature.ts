import { createHmac, timingSafeEqual } from 'node:crypto';
import type { KeyPair } from '../../config/keys/keys.ts';
import { keyId } from '../key-names.ts';

/** The pair from "Merchant Service – API Token Management". */
export type MtpayKey = KeyPair;

/** Upper-case hex, as the documents' code example prints it; the shape is checked before anything is compared. */
const SIGNATURE = /^[0-9A-F]{64}$/;

/** HMAC-SHA256 of `{access_key}_{timestamp}` keyed with the secret key (docs/reference/protocol.md#signature-both-directions). UTC milliseconds. */
export function sign(key: MtpayKey, timestampMs: number): string {
  return hmac(key, timestampMs).toString('hex').toUpperCase();
}

/** Constant-time in the digest; anything that is not 64 upper-case hex digits is false. */
export function isSignedBy(key: MtpayKey, timestampMs: number, signature: string): boolean {
  // Before the shape is looked at, so that every refusal costs the same.
  const expected = hmac(key, timestampMs);
  return SIGNATURE.test(signature) && timingSafeEqual(expected, Buffer.from(signature, 'hex'));
}

/** The key that made this signature, or null. Every key is tried, so that time does not tell which it was. */
export function signerOf<K extends MtpayKey>(keys: readonly K[], timestampMs: number, signature: string): K | null {
  const signed = keys.filter((key) => isSignedBy(key, timestampMs, signature));
  return signed[0] ?? null;
}

/** The key with its name, which is worked out once: naming a signer takes no time that a stranger could measure. */
export const named = (key: MtpayKey) => ({ ...key, id: keyId(key) });

function hmac(key: MtpayKey, timestampMs: number): Buffer {
  const text = `${key.accessKey.reveal().toString('utf8')}_${timestampMs}`;
  return createHmac('sha256', key.secretKey.reveal()).update(text).digest();
}
