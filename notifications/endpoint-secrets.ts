import type { Keyring } from '../config/keys/keyring.ts';
import type { Secret } from '../config/keys/secret.ts';
import { decrypt, encrypt, encryptionKey, encryptionKeyId } from '../encoding/encryption.ts';

/** Secrets of endpoints as they are stored: the name of the key, then the ciphertext, bound to the endpoint's owner. */

const KEY_ID = 8;

export const sealEndpointSecret = (ring: Keyring<Secret>, owner: string, secret: string): Buffer =>
  Buffer.concat([
    Buffer.from(encryptionKeyId(ring.current, 'endpoint-secret')),
    encrypt(encryptionKey(ring.current, 'endpoint-secret'), owner, Buffer.from(secret)),
  ]);

/** Throws when its key is not here, or it is another owner's; a retry does not help. */
export function openEndpointSecret(ring: Keyring<Secret>, owner: string, sealed: Buffer): string {
  const id = sealed.subarray(0, KEY_ID).toString();
  const key = ring.verifying.find((one) => encryptionKeyId(one, 'endpoint-secret') === id);
  if (key === undefined) throw new Error(`an endpoint's secret was encrypted with key ${id}, which is not here`);
  return decrypt(encryptionKey(key, 'endpoint-secret'), owner, sealed.subarray(KEY_ID)).toString();
}
