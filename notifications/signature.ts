import { createHmac, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** Signatures of messages by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com). */

/** A message as it is signed. */
export interface SignedMessage {
  /** The same for every attempt; without a dot, which separates it from the time. */
  readonly id: string;
  /** Seconds since 1970, of the attempt. */
  readonly timestamp: number;
  /** The bytes that are sent. */
  readonly body: string | Uint8Array;
}

/** Returns a new secret for HMAC-SHA256: `whsec_` and 32 random bytes as base64. */
export const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

/** Returns a new pair for Ed25519; the receiver gets the public key, and cannot sign with it. */
export function newSigningKeyPair(): { readonly privateKey: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const [seed, point] = [privateKey.export({ format: 'jwk' }).d!, publicKey.export({ format: 'jwk' }).x!];
  return { privateKey: `whsk_${toBase64(seed)}`, publicKey: `whpk_${toBase64(point)}` };
}

const toBase64 = (text: string): string => Buffer.from(text, 'base64url').toString('base64');

/**
 * Returns the three headers of a message, with one signature for each secret: while a secret rotates, the old and the
 * new one. Throws for an id or a secret of another form, which is a defect.
 */
export function signatureHeaders(
  { id, timestamp, body }: SignedMessage,
  secrets: readonly string[],
): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  if (!/^[\w:-]{1,200}$/.test(id) || !Number.isSafeInteger(timestamp) || secrets.length === 0)
    throw new TypeError('a message needs an id of letters, digits, _ : and -, whole seconds, and a secret');
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body as Uint8Array)]);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': secrets.map((secret) => signatureOf(signed, secret)).join(' '),
  };
}

/** The PKCS8 bytes before the 32 bytes of a seed (RFC 8410). */
const ED25519_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

function signatureOf(signed: Buffer, secret: string): string {
  const [, kind, text] = /^(whsec|whsk)_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
  const key = Buffer.from(text ?? '', 'base64');
  if (kind === 'whsec' && key.length >= 24 && key.length <= 64)
    return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
  if (kind !== 'whsk' || key.length !== 32) throw new TypeError('not a secret of this form');
  const pkcs8 = Buffer.concat([ED25519_PREFIX, key]);
  return `v1a,${sign(null, signed, createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })).toString('base64')}`;
}
