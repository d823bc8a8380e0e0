import { expect, it } from 'vitest';
import { publicSealKey } from '../../config/keys/inbox-seal.ts';
import type { KeySets } from '../../config/keys/keys.ts';
import { Secret } from '../../config/keys/secret.ts';
import { nameKeys } from '../../providers/key-names.ts';
import { documentKey, secret } from './keys.ts';

const set = <K>(current: K) => ({ current, next: null, previous: null });
const seed = new Secret(Buffer.alloc(32, 7));

it('names are the same for ever: tables, logs and callback addresses hold them', () => {
  const until = Date.UTC(2030, 0, 2);
  const keys: KeySets = {
    mtpay: { current: documentKey, next: documentKey, previous: { key: documentKey, untilMs: until } },
    callback: set(secret('a')),
    payerName: set(secret('a')),
    fingerprint: set(secret('a')),
    endpointSecret: set(secret('a')),
    inboxSeal: set(seed),
    inboxSealPublic: set(secret(`${publicSealKey(seed)},${publicSealKey(new Secret(Buffer.alloc(32, 8)))}`)),
  };
  expect(nameKeys(keys)).toEqual({
    mtpay: {
      current: '1d771d828bb2',
      next: '1d771d828bb2',
      previous: '1d771d828bb2',
      previousUntil: '2030-01-02T00:00:00.000Z',
    },
    callback: { current: '1676eb4b' },
    payerName: { current: '84b9521c' },
    fingerprint: { current: '45378d74' },
    endpointSecret: { current: '7f9a7482' },
    inboxSeal: { current: 'fe812c12f3ab4ce6' },
    inboxSealPublic: { current: 'fe812c12f3ab4ce6 5c29b78f10a35a49' },
  });
});
