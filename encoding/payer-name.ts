import { decrypt, encrypt, encryptionKey, encryptionKeyId, type KeyMaterial } from './encryption.ts';

/** The payer's name as it is stored in the deposit row, bound to its order. */
export interface SealedName {
  readonly bytes: Buffer;
  readonly keyId: string;
}

/** Names a key in the deposit row and in logs without showing it. */
export const nameKeyId = (key: KeyMaterial): string => encryptionKeyId(key, 'payer-name');

/** Encrypts for one order: the ciphertext cannot be moved to another row. */
export const sealName = (key: KeyMaterial, externalOrderNumber: string, name: string): SealedName => ({
  bytes: encrypt(encryptionKey(key, 'payer-name'), externalOrderNumber, Buffer.from(name)),
  keyId: nameKeyId(key),
});

/** Throws when its key is not one of these, the row was moved or the bytes were changed; a retry does not help. */
export function openName(keys: readonly KeyMaterial[], externalOrderNumber: string, sealed: SealedName): string {
  const key = keys.find((one) => nameKeyId(one) === sealed.keyId);
  if (key === undefined) throw new Error(`the payer's name was encrypted with key ${sealed.keyId}, which is not here`);
  return decrypt(encryptionKey(key, 'payer-name'), externalOrderNumber, sealed.bytes).toString('utf8');
}
