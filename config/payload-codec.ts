import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import type { Secret } from './keys/secret.ts';

/** An encrypted payload that cannot be opened: another key, or changed bytes. Trying again with the same keys does not help. */
export class PayloadUnreadable extends Error {}

/** The first encrypts, all decrypt: the current key, then the one before it. */
export type PayloadKeys = readonly [current: Secret, ...previous: Secret[]];

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;
/** The names that Temporal's own samples and tools use. */
const ENCODING = 'binary/encrypted';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Derived, so that the key of another purpose given here by mistake does not encrypt with the same bytes. */
const keyBytes = (key: Secret): Buffer =>
  createHash('sha256').update('temporal-codec|key|').update(key.reveal()).digest();

/** Names a key in the payloads it encrypted, and tells nothing of it. */
export const payloadKeyId = (key: Secret): string =>
  createHash('sha256').update('temporal-codec|id|').update(key.reveal()).digest('hex').slice(0, 8);

/**
 * AES-256-GCM over the whole payload, its own metadata included. What is not encrypted passes as it is, so that
 * histories from before the codec was switched on go on. Decoding throws {@link PayloadUnreadable}.
 */
export function createPayloadCodec(keys: PayloadKeys): PayloadCodec {
  const byId = new Map(keys.map((key) => [payloadKeyId(key), keyBytes(key)]));
  const currentId = payloadKeyId(keys[0]);
  const current = keyBytes(keys[0]);
  return {
    encode: async (payloads) => payloads.map((payload) => encrypt(current, currentId, payload)),
    decode: async (payloads) => payloads.map((payload) => (isEncrypted(payload) ? decrypt(byId, payload) : payload)),
  };
}

const textOf = (payload: Payload, name: string): string => Buffer.from(payload.metadata?.[name] ?? []).toString('utf8');
const isEncrypted = (payload: Payload): boolean => textOf(payload, 'encoding') === ENCODING;

function encrypt(key: Buffer, keyId: string, payload: Payload): Payload {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(keyId));
  const plain = PayloadMessage.encode(payload).finish();
  return {
    metadata: { encoding: Buffer.from(ENCODING), 'encryption-key-id': Buffer.from(keyId) },
    data: Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]),
  };
}

function decrypt(byId: ReadonlyMap<string, Buffer>, payload: Payload): Payload {
  const keyId = textOf(payload, 'encryption-key-id');
  const key = byId.get(keyId);
  // Ids are eight hexadecimal digits; anything else is not ours to repeat.
  const named = /^[0-9a-f]{8}$/.test(keyId) ? keyId : 'without a readable id';
  if (key === undefined) throw new PayloadUnreadable(`a payload was encrypted with key ${named}, which is not here`);
  try {
    return PayloadMessage.decode(open(key, keyId, Buffer.from(payload.data ?? [])));
  } catch (cause) {
    throw new PayloadUnreadable(`a payload of key ${named} was changed`, { cause });
  }
}

function open(key: Buffer, keyId: string, bytes: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(keyId)).setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
