import { createHash } from 'node:crypto';
import { fixedKeyring } from '../../config/keyring.ts';
import { Secret } from '../../config/load.ts';
import type { NewCallback, Stamp } from '../../database/callbacks.ts';
import type { SealTrust } from '../../mtpay/sealed-rows.ts';
import { createSealer, publicSealKey, sealKey, sealPublicKeys } from '../../config/inbox-seal.ts';

/** The API's seal of every test: the same in all processes of a run, so that an audit in another one verifies it. */
const seed = createHash('sha256').update('the seal of the tests').digest();
export const SEAL_ENV = {
  INBOX_SEAL_KEY: seed.toString('base64url'),
  INBOX_SEAL_PUBLIC_KEYS: publicSealKey(new Secret(seed)),
};

export const seal = createSealer(fixedKeyring(sealKey(new Secret(seed))));

const trusted: SealTrust = {
  publicKeys: sealPublicKeys(new Secret(Buffer.from(SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS))),
  epoch: null,
};
export const sealTrust = (): SealTrust => trusted;

/** A row as the API writes it: with its seal. */
export function sealed(callback: Omit<NewCallback, 'seal'>, stamp: Stamp | null = null): NewCallback {
  const { receipt, externalOrderNumber, contentHash, raw } = callback;
  const rawHash = createHash('sha256').update(raw).digest();
  const facts = { receipt, externalOrderNumber, contentHash, rawHash, stamp };
  return { ...callback, seal: seal({ ...facts, sealedMs: Date.now() }) };
}
