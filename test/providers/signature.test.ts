import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyId } from '../../providers/key-names.ts';
import { isSignedBy, type MtpayKey, sign } from '../../providers/mtpay/signature.ts';
import { documentKey, randomSecret, secret } from './keys.ts';

/** docs/reference/protocol.md#signature-both-directions. */
const AT = 1_625_546_438_154;
const GOLDEN = 'EDB15CF33C232128BDF118CEB147C453181939F8B37EC43886F68B3BCC2C19CD';

const HEX = '0123456789ABCDEF';
const timestamps = fc.integer({ min: 1, max: 999_999_999_999_999 });

describe('signing', () => {
  it("gives the document's vector", () => {
    expect(sign(documentKey, AT)).toBe(GOLDEN);
  });

  it('is accepted by its own key and time, whatever they are', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), timestamps, (access, key, at) => {
        const pair: MtpayKey = { accessKey: secret(access), secretKey: secret(key) };
        expect(sign(pair, at)).toMatch(/^[0-9A-F]{64}$/);
        expect(isSignedBy(pair, at, sign(pair, at))).toBe(true);
      }),
    );
  });
});

describe('a signature', () => {
  const accepted = (signature: string) => isSignedBy(documentKey, AT, signature);

  it('of the document is accepted', () => {
    expect(accepted(GOLDEN)).toBe(true);
  });

  it('with any one digit changed is refused', () => {
    for (let at = 0; at < GOLDEN.length; at += 1) {
      for (const digit of HEX) {
        if (digit === GOLDEN[at]) continue;
        expect(accepted(GOLDEN.slice(0, at) + digit + GOLDEN.slice(at + 1))).toBe(false);
      }
    }
  });

  it.each([
    ['lower case', GOLDEN.toLowerCase()],
    ['one letter in lower case', `e${GOLDEN.slice(1)}`],
    ['nothing', ''],
    ['one digit short', GOLDEN.slice(1)],
    ['one digit long', `${GOLDEN}0`],
    ['half of it', GOLDEN.slice(0, 32)],
    ['it twice', GOLDEN + GOLDEN],
    ['a line end after it', `${GOLDEN}\n`],
    ['a blank before it', ` ${GOLDEN}`],
    ['a blank in place of a digit', ` ${GOLDEN.slice(1)}`],
    ['a letter that is no digit', `G${GOLDEN.slice(1)}`],
    ['digits of another script', GOLDEN.replace('1', '１')],
    ['hex with a prefix', `0x${GOLDEN.slice(2)}`],
    ['base64', Buffer.from(GOLDEN, 'hex').toString('base64')],
    ['a NUL in it', `\0${GOLDEN.slice(1)}`],
    ['only zeros', '0'.repeat(64)],
  ])('is refused, and nothing is thrown: %s', (_, signature) => {
    expect(accepted(signature)).toBe(false);
  });

  it('of any other text is refused, and nothing is thrown', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9A-Fa-g]{60,68}$/)), (text) => {
        expect(accepted(text)).toBe(false);
      }),
    );
  });

  it('is refused at any other time', () => {
    expect(isSignedBy(documentKey, AT + 1, GOLDEN)).toBe(false);
    expect(isSignedBy(documentKey, AT - 1, GOLDEN)).toBe(false);
    fc.assert(
      fc.property(timestamps, (at) => {
        expect(isSignedBy(documentKey, at, GOLDEN)).toBe(at === AT);
      }),
    );
  });

  it('is refused when either half of the key is another', () => {
    expect(isSignedBy({ ...documentKey, secretKey: randomSecret() }, AT, GOLDEN)).toBe(false);
    expect(isSignedBy({ ...documentKey, accessKey: randomSecret() }, AT, GOLDEN)).toBe(false);
    expect(isSignedBy({ accessKey: documentKey.secretKey, secretKey: documentKey.accessKey }, AT, GOLDEN)).toBe(false);
  });
});

describe('the name of a key', () => {
  it('tells keys apart and shows nothing of them', () => {
    const name = keyId(documentKey);
    expect(name).toMatch(/^[0-9a-f]{12}$/);
    expect(keyId(documentKey)).toBe(name);
    expect(keyId({ ...documentKey, accessKey: randomSecret() })).not.toBe(name);
  });
});
