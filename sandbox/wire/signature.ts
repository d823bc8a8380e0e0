import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Returns the upper-case hex HMAC-SHA256 of `{accessKey}_{timestamp}`, as the API introduction prescribes. It does not
 * cover body, order or direction: requests and callbacks are signed alike.
 */
export function sign(accessKey: string, secretKey: string, timestamp: string): string {
  return createHmac('sha256', secretKey).update(`${accessKey}_${timestamp}`).digest('hex').toUpperCase();
}

/** Compares two texts in constant time, against timing attacks. Hashing first makes the lengths equal. */
export function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Lower-case hex SHA-256, the form of bodies in the event log. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
