import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import {
  createSealer,
  isSealOf,
  publicSealKey,
  type Seal,
  type SealFacts,
  sealKey,
  sealPublicKeys,
  sealText,
} from '../../config/keys/inbox-seal.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest();
const FACTS: SealFacts = {
  receipt: 'first',
  externalOrderNumber: 'o-1',
  contentHash: sha256('content'),
  rawHash: sha256('raw'),
  stamp: { keyId: 'a1b2c3d4', timestampMs: 1_767_225_600_737 },
  sealedMs: 1_767_225_601_000,
};

const generation = (seed = new Secret(randomBytes(32))) => ({
  id: sealKey(seed).id,
  seal: createSealer(fixedKeyring(sealKey(seed))),
  publicKey: publicSealKey(seed),
});
const trusting = (...keys: readonly string[]) => sealPublicKeys(new Secret(Buffer.from(keys.join(','))));

describe('the text that is sealed', () => {
  it('is this one, for ever', () => {
    expect(sealText(FACTS)).toBe(
      `v1|first|o-1|${sha256('content').toString('hex')}|${sha256('raw').toString('hex')}|a1b2c3d4|1767225600737|1767225601000`,
    );
    expect(sealText({ ...FACTS, receipt: 'restored', stamp: null })).toMatch(
      /^v1\|restored\|o-1\|\w{64}\|\w{64}\|\|\|1767225601000$/,
    );
  });

  it('is sealed with Ed25519: the key of RFC 8032 gives its public key, and the seal is of 64 bytes', () => {
    const seed = new Secret(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'));
    const own = generation(seed);
    expect(Buffer.from(own.publicKey, 'base64url').toString('hex')).toBe(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    );
    const seal = own.seal({ ...FACTS, sealedMs: FACTS.sealedMs + 0.4 });
    expect(seal).toMatchObject({ key: own.id, sealedMs: FACTS.sealedMs });
    expect(seal.signature).toHaveLength(64);
    expect(isSealOf(trusting(own.publicKey), seal, FACTS)).toBe(true);
  });
});

describe('a seal', () => {
  const own = generation();
  const keys = trusting(own.publicKey);
  const seal = own.seal(FACTS);

  it.each<[string, Partial<SealFacts>]>([
    ['another order', { externalOrderNumber: 'o-2' }],
    ['other content', { contentHash: sha256('other') }],
    ['other bytes', { rawHash: sha256('other') }],
    ['another receipt', { receipt: 'other_content' }],
    ['another stamp', { stamp: { ...FACTS.stamp!, timestampMs: 1 } }],
    ['a stamp under another key', { stamp: { ...FACTS.stamp!, keyId: 'other' } }],
    ['no stamp', { stamp: null }],
  ])('is not one over a row with %s', (_, change) => {
    expect(isSealOf(keys, seal, { ...FACTS, ...change })).toBe(false);
  });

  it.each<[string, Partial<Seal>]>([
    ['another time', { sealedMs: FACTS.sealedMs + 1 }],
    ['another key’s name', { key: generation().id }],
    ['another signature', { signature: Buffer.alloc(64) }],
    ['a signature of another length', { signature: Buffer.alloc(3) }],
  ])('with %s is none', (_, change) => {
    expect(isSealOf(keys, { ...seal, ...change }, FACTS)).toBe(false);
  });

  it('of a row that came before its order holds when the order is there, whatever it is taken for then', () => {
    const early = own.seal({ ...FACTS, receipt: 'unknown_order' });
    for (const receipt of ['unknown_order', 'first', 'stale'] as const)
      expect(isSealOf(keys, early, { ...FACTS, receipt })).toBe(true);
  });
});

describe('three generations of keys', () => {
  const [first, second, third] = [generation(), generation(), generation()];

  it('verify side by side, each by its name; one that is taken away verifies no more', () => {
    const all = trusting(first.publicKey, second.publicKey, third.publicKey);
    expect([...all.keys()]).toEqual([first.id, second.id, third.id]);
    for (const one of [first, second, third]) expect(isSealOf(all, one.seal(FACTS), FACTS)).toBe(true);
    const cut = trusting(second.publicKey, third.publicKey);
    expect(isSealOf(cut, first.seal(FACTS), FACTS)).toBe(false);
    expect(isSealOf(cut, { ...first.seal(FACTS), key: second.id }, FACTS)).toBe(false);
  });
});
