import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { Secret } from '../config/keys/secret.ts';

/** The payer's name as it rests in the deposit row: nonce, ciphertext and tag of AES-256-GCM, bound to its order. */
export interface SealedName {
  readonly bytes: Buffer;
  readonly keyId: string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const keyBytes = (key: Secret): Buffer => createHash('sha256').update('payer-name|key|').update(key.reveal()).digest();
/** Names a key in the deposit row and in logs without showing it. */
export const nameKeyId = (key: Secret): string =>
  createHash('sha256').update('payer-name|id|').update(key.reveal()).digest('hex').slice(0, 8);

/** Encrypts for one order: the ciphertext cannot be moved to another row. */
export function sealName(key: Secret, externalOrderNumber: string, name: string): SealedName {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyBytes(key), nonce, { authTagLength: TAG_BYTES }).setAAD(
    Buffer.from(externalOrderNumber),
  );
  const bytes = Buffer.concat([nonce, cipher.update(name, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { bytes, keyId: nameKeyId(key) };
}

/** Throws when its key is not one of these, the row was moved or the bytes were changed; trying again does not help. */
export function openName(keys: readonly Secret[], externalOrderNumber: string, sealed: SealedName): string {
  const key = keys.find((one) => nameKeyId(one) === sealed.keyId);
  if (key === undefined) throw new Error(`the payer's name was encrypted with key ${sealed.keyId}, which is not here`);
  const nonce = sealed.bytes.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', keyBytes(key), nonce, { authTagLength: TAG_BYTES }).setAAD(
    Buffer.from(externalOrderNumber),
  );
  decipher.setAuthTag(sealed.bytes.subarray(-TAG_BYTES));
  const text = decipher.update(sealed.bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  return Buffer.concat([text, decipher.final()]).toString('utf8');
}
