import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { decrypt, encrypt, encryptionKey, encryptionKeyId, type KeyMaterial } from './encryption.ts';

/** An encrypted payload cannot be opened: another key, or changed bytes. A retry with the same keys does not help. */
export class PayloadUnreadable extends Error {}

/** The current key encrypts; it and the previous ones decrypt. */
export type PayloadKeys = readonly [current: KeyMaterial, ...previous: KeyMaterial[]];

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;
/** The names that Temporal's own samples and tools use. */
const ENCODING = 'binary/encrypted';

/** Returns the key's name in the payloads that it encrypted; the name reveals nothing of the key. */
export const payloadKeyId = (key: KeyMaterial): string => encryptionKeyId(key, 'temporal-codec');

/**
 * Encrypts the whole payload with AES-256-GCM, its metadata included. An unencrypted payload is decoded unchanged, so
 * that histories from before the codec was switched on continue. Decoding throws {@link PayloadUnreadable}.
 */
export function createPayloadCodec(keys: PayloadKeys): PayloadCodec {
  const byId = new Map(keys.map((key) => [payloadKeyId(key), encryptionKey(key, 'temporal-codec')]));
  const currentId = payloadKeyId(keys[0]);
  const current = byId.get(currentId)!;
  return {
    encode: async (payloads) => payloads.map((payload) => encryptPayload(current, currentId, payload)),
    decode: async (payloads) =>
      payloads.map((payload) => (isEncrypted(payload) ? decryptPayload(byId, payload) : payload)),
  };
}

const textOf = (payload: Payload, name: string): string => Buffer.from(payload.metadata?.[name] ?? []).toString('utf8');
const isEncrypted = (payload: Payload): boolean => textOf(payload, 'encoding') === ENCODING;

const encryptPayload = (key: Buffer, keyId: string, payload: Payload): Payload => ({
  metadata: { encoding: Buffer.from(ENCODING), 'encryption-key-id': Buffer.from(keyId) },
  data: encrypt(key, keyId, PayloadMessage.encode(payload).finish()),
});

function decryptPayload(byId: ReadonlyMap<string, Buffer>, payload: Payload): Payload {
  const keyId = textOf(payload, 'encryption-key-id');
  const key = byId.get(keyId);
  // Our ids are eight hexadecimal digits; any other text is not repeated.
  const named = /^[0-9a-f]{8}$/.test(keyId) ? keyId : 'without a readable id';
  if (key === undefined) throw new PayloadUnreadable(`a payload was encrypted with key ${named}, which is not here`);
  try {
    return PayloadMessage.decode(decrypt(key, keyId, Buffer.from(payload.data ?? [])));
  } catch (cause) {
    throw new PayloadUnreadable(`a payload of key ${named} was changed`, { cause });
  }
}
