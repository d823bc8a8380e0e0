import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Upper-case hex HMAC-SHA256 of `{accessKey}_{timestamp}`, as the API introduction prescribes. It covers neither body,
 * nor order, nor direction: requests and callbacks are signed alike.
 */
export function sign(accessKey: string, secretKey: string, timestamp: string): string {
  return createHmac('sha256', secretKey).update(`${accessKey}_${timestamp}`).digest('hex').toUpperCase();
}

/** Equality that takes the same time wherever two texts differ. Hashing first makes the lengths equal. */
export function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Lower-case hex SHA-256, the form in which the event log mentions bodies. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
