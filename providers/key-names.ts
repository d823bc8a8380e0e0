import { createHash } from 'node:crypto';
import type { KeySet } from '../config/keys/keyring.ts';
import type { KeyName, KeyPair, KeySets, KeyTypes } from '../config/keys/keys.ts';
import { capabilityKey } from './callback-address.ts';
import { sealKey, sealPublicKeys } from '../config/keys/inbox-seal.ts';
import { encryptionKeyId } from '../encoding/encryption.ts';
import { nameKeyId } from '../encoding/payer-name.ts';

/** Names a provider's key in tables and logs without showing it. */
export const keyId = (key: KeyPair): string =>
  createHash('sha256').update(key.accessKey.reveal()).digest('hex').slice(0, 12);

const NAMES: { readonly [name in KeyName]: (key: KeyTypes[name]) => string } = {
  mtpay: keyId,
  callback: (key) => capabilityKey(key).kid,
  payerName: nameKeyId,
  fingerprint: (key) => createHash('sha256').update('fingerprint|id|').update(key.reveal()).digest('hex').slice(0, 8),
  endpointSecret: (key) => encryptionKeyId(key, 'endpoint-secret'),
  inboxSeal: (key) => sealKey(key).id,
  inboxSealPublic: (list) => [...sealPublicKeys(list).keys()].join(' '),
};

/** Returns the names of the keys in force, as tables and callback addresses have them; safe to log. */
export function nameKeys(sets: Partial<KeySets>): Record<string, Record<string, string>> {
  const named = (Object.entries(sets) as [KeyName, AnySet][]).map(([name, set]) => [name, nameSet(name, set)]);
  return Object.fromEntries(named) as Record<string, Record<string, string>>;
}

type AnyKey = KeyTypes[KeyName];
type AnySet = KeySet<AnyKey>;

function nameSet(name: KeyName, { current, next, previous }: AnySet): Record<string, string> {
  const nameOf = NAMES[name] as (key: AnyKey) => string;
  return {
    current: nameOf(current),
    ...(next === null ? {} : { next: nameOf(next) }),
    ...(previous === null
      ? {}
      : { previous: nameOf(previous.key), previousUntil: new Date(previous.untilMs).toISOString() }),
  };
}
