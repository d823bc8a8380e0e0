import { createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify as verifySignature } from 'node:crypto';
import type { EngineEvent } from './types.ts';

/** Verifies notifications by Standard Webhooks 1.0.0. It needs nothing but Node. */

export type WebhookHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * `headers`: one is missing, twice there or malformed. `too_old`, `too_new`: the time is outside the tolerance, or the
 * clock of this machine is wrong. `signature`: no secret made any of the signatures. `body`: signed, and no JSON object
 * with a `type`.
 */
export type WebhookFault = 'headers' | 'too_old' | 'too_new' | 'signature' | 'body';

/** A message that must not be trusted: answer 400. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError';
  readonly fault: WebhookFault;

  constructor(fault: WebhookFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

export interface WebhookOptions {
  /** The present time; by default the clock's. */
  readonly now?: Date | undefined;
  readonly toleranceSeconds?: number | undefined;
}

/** The SPKI bytes before the 32 bytes of an Ed25519 public key (RFC 8410). */
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/** By the specification: 192 bits. A shorter secret could be guessed. */
const LEAST_SECRET_BYTES = 24;
/** Room for 16 signatures and more; beyond that somebody makes us work. */
const MOST_SIGNATURE_CHARACTERS = 2_048;

/**
 * Returns the event if one of `secrets` signed exactly these bytes within the tolerance.
 *
 * @param rawBody The body as it came. A parsed and rewritten body has another signature.
 * @param secrets `whsec_…` (HMAC) or `whpk_…` (an Ed25519 public key); both of them while they rotate.
 * @throws WebhookError if the message must not be trusted.
 * @throws TypeError if there is no secret, or one cannot be used.
 */
function verifyWebhook(
  rawBody: string | Uint8Array,
  headers: WebhookHeaders,
  secrets: string | readonly string[],
  { now = new Date(), toleranceSeconds = 300 }: WebhookOptions = {},
): EngineEvent {
  const keys = [secrets].flat().map(keyOf);
  if (keys.length === 0) throw new TypeError('there is no secret');
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) =>
    headerOf(headers, name),
  ) as [string, string, string];
  // What is signed has dots between its parts: with one in the id they could be cut elsewhere.
  if (id.includes('.')) throw new WebhookError('headers', 'webhook-id has a dot');
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookError('headers', 'webhook-timestamp is no number of seconds');
  if (signatures.length > MOST_SIGNATURE_CHARACTERS) throw new WebhookError('headers', 'webhook-signature is too long');
  const ageSeconds = Math.floor(now.getTime() / 1_000) - Number(timestamp);
  if (ageSeconds > toleranceSeconds) throw new WebhookError('too_old', `signed ${ageSeconds} s ago`);
  if (-ageSeconds > toleranceSeconds) throw new WebhookError('too_new', `signed ${-ageSeconds} s in the future`);
  const body = typeof rawBody === 'string' ? Buffer.from(rawBody) : rawBody;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  if (!signatures.split(' ').some((signature) => keys.some((key) => isBy(key, signature, signed))))
    throw new WebhookError('signature', 'no secret of ours made a signature of this message');
  return eventOf(body);
}
export { verifyWebhook as verify };

/** A secret, or a public key. */
type VerifyingKey = Buffer | KeyObject;

function keyOf(text: string): VerifyingKey {
  const [, kind, encoded] = /^(whsec_|whpk_)([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = Buffer.from(encoded ?? '', 'base64');
  if (kind === 'whsec_' && bytes.length >= LEAST_SECRET_BYTES) return bytes;
  if (kind === 'whpk_' && bytes.length === 32)
    return createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, bytes]), format: 'der', type: 'spki' });
  throw new TypeError('a secret is whsec_ and at least 24 bytes as base64, a public key whpk_ and 32 bytes as base64');
}

function headerOf(headers: WebhookHeaders, name: string): string {
  const found = isGetter(headers)
    ? [headers.get(name)]
    : Object.entries(headers).flatMap(([given, value]) => (given.toLowerCase() === name ? value : []));
  const [value] = found;
  // A second value would be a second message.
  if (found.length !== 1 || typeof value !== 'string' || value === '')
    throw new WebhookError('headers', `${name} is missing, or there twice`);
  return value;
}

const isGetter = (headers: WebhookHeaders): headers is { get(name: string): string | null } =>
  typeof headers.get === 'function';

/** Whether the key made this signature. HMACs are compared in constant time. */
function isBy(key: VerifyingKey, signature: string, signed: Buffer): boolean {
  const version = Buffer.isBuffer(key) ? 'v1,' : 'v1a,';
  if (!signature.startsWith(version)) return false;
  const text = signature.slice(version.length);
  const bytes = Buffer.from(text, 'base64');
  // Base64 of one form only: other last bits would be the same bytes.
  if (bytes.toString('base64') !== text) return false;
  if (!Buffer.isBuffer(key)) return verifySignature(null, signed, key, bytes);
  const expected = createHmac('sha256', key).update(signed).digest();
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

function eventOf(body: Uint8Array): EngineEvent {
  try {
    const event = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as EngineEvent | null;
    if (typeof event?.type === 'string') return event;
  } catch {
    // The next line says it.
  }
  throw new WebhookError('body', 'the body is no event');
}
