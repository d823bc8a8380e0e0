import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import type { Keyring } from './keyring.ts';
import type { Secret } from './secret.ts';
import type { Receipt } from '../../domain/review.ts';

/**
 * The seal of an inbox row is the API's signature over it, so that a row that anybody else has inserted moves no money.
 * The private key is one of the API's secrets and in no database. Verifiers have the public keys in their own settings.
 */

/** The facts of a row that its seal covers. */
export interface SealFacts {
  /** The receipt when the row was written; see {@link isSealOf}. */
  readonly receipt: Receipt;
  readonly externalOrderNumber: string;
  readonly contentHash: Buffer;
  /** sha256 of the bytes as they are stored. */
  readonly rawHash: Buffer;
  /** The key and stamp that the first message was signed with; null: the row is from no message. */
  readonly stamp: { readonly keyId: string; readonly timestampMs: number } | null;
  /** The database's clock when it was sealed, UTC milliseconds. */
  readonly sealedMs: number;
}

export interface Seal {
  /** Ed25519, 64 bytes. */
  readonly signature: Buffer;
  /** The name of the key, {@link SealKey.id}. */
  readonly key: string;
  readonly sealedMs: number;
}

/** A new seal, with a MAC that the database can verify. */
export interface NewSeal extends Seal {
  /** HMAC-SHA256 of the same text, by {@link SealKey.macKey}; it is stored nowhere. */
  readonly mac: Buffer;
}

/** No field holds a `|`, so two rows never share a text. */
export const sealText = ({ receipt, externalOrderNumber, contentHash, rawHash, stamp, sealedMs }: SealFacts): string =>
  [
    'v1',
    receipt,
    externalOrderNumber,
    contentHash.toString('hex'),
    rawHash.toString('hex'),
    stamp?.keyId ?? '',
    stamp?.timestampMs ?? '',
    sealedMs,
  ].join('|');

export interface SealKey {
  /** The first 16 hex digits of the public key's sha256. */
  readonly id: string;
  readonly privateKey: KeyObject;
  /** 32 bytes derived from the private key; they cannot make a seal. The database has them once they are registered. */
  readonly macKey: Buffer;
}

/** Signs with the current key. `sealedMs` of the facts is rounded to whole milliseconds. */
export type Sealer = (facts: SealFacts) => NewSeal;

export const createSealer =
  (ring: Keyring<SealKey>): Sealer =>
  (facts) => {
    const { id, privateKey, macKey } = ring.current;
    const sealedMs = Math.round(facts.sealedMs);
    const text = Buffer.from(sealText({ ...facts, sealedMs }));
    const mac = createHmac('sha256', macKey).update(text).digest();
    return { signature: sign(null, text, privateKey), key: id, sealedMs, mac };
  };

/** The public keys of all generations, by name. A key must stay as long as a row that it sealed is stored. */
export type SealPublicKeys = ReadonlyMap<string, KeyObject>;

/**
 * Whether one of these keys made the seal over these facts. The receipt of a row that was received before its order
 * changes once, when the order is created: such a row still has the seal over `unknown_order`.
 */
export function isSealOf(keys: SealPublicKeys, seal: Seal, facts: Omit<SealFacts, 'sealedMs'>): boolean {
  const key = keys.get(seal.key);
  if (key === undefined) return false;
  const receipts = new Set<Receipt>([facts.receipt, 'unknown_order']);
  return [...receipts].some((receipt) =>
    verify(null, Buffer.from(sealText({ ...facts, receipt, sealedMs: seal.sealedMs })), key, seal.signature),
  );
}

/** The bytes before the 32 bytes of a seed in PKCS8, and before those of a public key in SPKI (RFC 8410). */
const SEED_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

const MAC_LABEL = 'deposit-engine inbox mac v1';

/** Makes the key pair of these 32 private bytes, and the MAC's key by HKDF-SHA256 (RFC 5869), without a salt. */
export function sealKey(seed: Secret): SealKey {
  const key = Buffer.concat([SEED_PREFIX, seed.reveal()]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  const macKey = Buffer.from(hkdfSync('sha256', seed.reveal(), '', MAC_LABEL, 32));
  return { id: nameOf(publicBytes(privateKey)), privateKey, macKey };
}

/** Returns the public key as settings have it: 32 bytes as base64url. */
export const publicSealKey = (seed: Secret): string => publicBytes(sealKey(seed).privateKey).toString('base64url');

const publicBytes = (privateKey: KeyObject): Buffer =>
  createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length);

const nameOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** Reads public keys as settings have them, separated by commas. */
export function sealPublicKeys(list: Secret): SealPublicKeys {
  const parts = splitPublicKeys(list.reveal().toString('utf8'));
  return new Map(
    parts.map((text) => {
      const bytes = Buffer.from(text, 'base64url');
      const key = Buffer.concat([PUBLIC_PREFIX, bytes]);
      return [nameOf(bytes), createPublicKey({ key, format: 'der', type: 'spki' })];
    }),
  );
}

export const splitPublicKeys = (list: string): string[] =>
  list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
