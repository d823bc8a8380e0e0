import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** AES-256-GCM: nonce, ciphertext and tag in one buffer, bound to a public text (additional authenticated data). */

/** The purpose of a key. A key that is set for the other purpose by mistake encrypts there with other bytes. */
export type KeyPurpose = 'payer-name' | 'temporal-codec' | 'endpoint-secret';

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

/** Returns the key's name, to be stored with its ciphertexts: eight hex digits that reveal nothing of the key. */
export const encryptionKeyId = (key: KeyMaterial, purpose: KeyPurpose): string =>
  derive(key, purpose, 'id').digest('hex').slice(0, 8);

export function encrypt(key: Buffer, bound: string, plain: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(bound));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Throws when the key, the bound text or the bytes differ; a retry does not help. */
export function decrypt(key: Buffer, bound: string, bytes: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(bound)).setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
