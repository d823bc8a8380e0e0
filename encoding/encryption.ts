import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** AES-256-GCM: nonce, ciphertext and tag in one piece, bound to a text beside it that everybody may read. */

/** What a key is for. A key of one purpose, given for the other by mistake, does not encrypt with the same bytes. */
export type KeyPurpose = 'payer-name' | 'temporal-codec';

/** Key material; a `Secret` is one. */
export interface KeyMaterial {
  reveal(): Buffer;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const derive = (key: KeyMaterial, purpose: KeyPurpose, what: 'key' | 'id') =>
  createHash('sha256').update(`${purpose}|${what}|`).update(key.reveal());

/** 32 bytes, for {@link encrypt} and {@link decrypt}. */
export const encryptionKey = (key: KeyMaterial, purpose: KeyPurpose): Buffer => derive(key, purpose, 'key').digest();

/** Names a key beside what it encrypted, and tells nothing of it: eight hexadecimal digits. */
export const encryptionKeyId = (key: KeyMaterial, purpose: KeyPurpose): string =>
  derive(key, purpose, 'id').digest('hex').slice(0, 8);

export function encrypt(key: Buffer, bound: string, plain: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(bound));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Throws when key, text beside it or bytes are others; trying again does not help. */
export function decrypt(key: Buffer, bound: string, bytes: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(bound)).setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
