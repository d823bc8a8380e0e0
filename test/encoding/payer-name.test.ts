import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openName, sealName } from '../../encoding/payer-name.ts';
import { randomSecret } from '../providers/keys.ts';

const key = randomSecret();
const ORDER = 'o-42';
const NAME = '王小明 Wang Xiaoming';
const sealed = sealName(key, ORDER, NAME);

describe("a sealed payer's name", () => {
  it('opens for its order and key, whatever the name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }), (name) => {
        expect(openName([key], ORDER, sealName(key, ORDER, name))).toBe(name);
      }),
    );
  });

  it('shows nothing of the name, and not even that two are the same', () => {
    expect(sealed.bytes.toString('utf8')).not.toContain('Wang');
    const again = sealName(key, ORDER, NAME);
    expect(again.bytes.equals(sealed.bytes)).toBe(false);
    expect(again.keyId).toBe(sealed.keyId);
  });

  it('does not open when it was moved to another order', () => {
    expect(() => openName([key], 'o-43', sealed)).toThrow();
  });

  it('does not open with another key, and the error names keys without showing them', () => {
    const other = randomSecret();
    expect(() => openName([other], ORDER, sealed)).toThrow(
      new Error(`the payer's name was encrypted with key ${sealed.keyId}, which is not here`),
    );
    const { keyId } = sealName(other, ORDER, NAME);
    expect(() => openName([other], ORDER, { ...sealed, keyId })).toThrow();
    expect(sealed.keyId).toMatch(/^[0-9a-f]{8}$/);
  });

  it('does not open with any one bit changed', () => {
    for (let bit = 0; bit < sealed.bytes.length * 8; bit += 1) {
      const bytes = Buffer.from(sealed.bytes);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => openName([key], ORDER, { ...sealed, bytes }), `bit ${bit}`).toThrow();
    }
  });

  it('does not open when it was cut or extended', () => {
    for (const length of [0, 1, 12, 27, 28, sealed.bytes.length - 1]) {
      expect(
        () => openName([key], ORDER, { ...sealed, bytes: sealed.bytes.subarray(0, length) }),
        `${length}`,
      ).toThrow();
    }
    expect(() =>
      openName([key], ORDER, { ...sealed, bytes: Buffer.concat([sealed.bytes, Buffer.alloc(1)]) }),
    ).toThrow();
  });
});
