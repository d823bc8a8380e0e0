import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CALLBACK_PATH,
  callbackUrl,
  capabilityKey,
  capabilityOf,
  isCapabilityFor,
} from '../../providers/callback-address.ts';
import { randomSecret, secret } from './keys.ts';

const key = capabilityKey(secret('a fixed key for one vector'));
const ORDER = 'o-2026-000042';
const url = callbackUrl('https://pay.example', key, ORDER);
const token = url.split('/').at(-1)!;
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');

const accepted = (kid: string, candidate: string, order = ORDER) => isCapabilityFor(key, kid, candidate, order);

describe('the address of a callback', () => {
  it('is the same for ever: open orders carry it', () => {
    expect(url).toBe('https://pay.example/v1/callbacks/mtpay/8e333d2f/ZBBsfF17oZ_aP_SNL5pLpvMbsEr4dEkKv-YNP_JXEKU');
  });

  it('has the form that the route expects, and nothing of order or key in it', () => {
    const form = new RegExp(`^${CALLBACK_PATH.replace(':kid', '([^/]+)').replace(':token', '([^/]+)')}$`);
    expect(new URL(url).pathname).toMatch(form);
    expect(url).not.toContain(ORDER);
  });

  it('carries a token for its own order, whatever the order and the key', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
        fc.uint8Array({ minLength: 32, maxLength: 64 }),
        (n, k) => {
          const own = capabilityKey(secret(Buffer.from(k).toString('hex')));
          const [kid, candidate] = callbackUrl('https://pay.example', own, n).split('/').slice(-2) as [string, string];
          expect(isCapabilityFor(own, kid, candidate, n)).toBe(true);
          expect(isCapabilityFor(own, kid, candidate, `${n}x`)).toBe(false);
        },
      ),
    );
  });
});

describe('a token', () => {
  it('is accepted for its order', () => {
    expect(accepted(key.kid, token)).toBe(true);
  });

  it.each(['o-2026-000043', 'O-2026-000042', 'o-2026-00004', 'o-2026-0000420', '', `${ORDER}\n`])(
    'is refused for another order: %j',
    (order) => {
      expect(accepted(key.kid, token, order)).toBe(false);
    },
  );

  it.each([
    ['another', '00000000'],
    ['none', ''],
    ['upper case', key.kid.toUpperCase()],
    ['a longer one', `${key.kid}0`],
  ])('is refused under the name of another key: %s', (_, kid) => {
    expect(accepted(kid, token)).toBe(false);
  });

  it('of another key is refused, even under the right name', () => {
    const other = { ...capabilityKey(randomSecret()), kid: key.kid };
    expect(accepted(key.kid, callbackUrl('https://pay.example', other, ORDER).split('/').at(-1)!)).toBe(false);
  });

  it('has one spelling only: the last character decides like any other', () => {
    // 43 characters hold 258 bits for 256: four last characters decode to the same bytes.
    const alike = BASE64URL.map((last) => token.slice(0, -1) + last).filter((spelling) =>
      Buffer.from(spelling, 'base64url').equals(Buffer.from(token, 'base64url')),
    );
    expect(alike).toHaveLength(4);
    expect(alike.filter((spelling) => accepted(key.kid, spelling))).toEqual([token]);
  });

  it('with any one character changed is refused', () => {
    for (let at = 0; at < token.length; at += 1) {
      for (const letter of BASE64URL) {
        if (letter === token[at]) continue;
        expect(accepted(key.kid, token.slice(0, at) + letter + token.slice(at + 1))).toBe(false);
      }
    }
  });

  const bytes = Buffer.from(token, 'base64url');
  it.each([
    ['padded', `${token}=`],
    ['in plain base64', bytes.toString('base64')],
    ['in hex', bytes.toString('hex')],
    ['percent-encoded', `%${token.charCodeAt(0).toString(16)}${token.slice(1)}`],
    ['cut', token.slice(0, -1)],
    ['longer', `${token}A`],
    ['with a line end', `${token}\n`],
    ['with a blank for a character', ` ${token.slice(1)}`],
    ['with a wide character', `é${token.slice(1)}`],
    ['with a path', `../${token.slice(3)}`],
    ['empty', ''],
  ])('in another spelling is refused, and nothing is thrown: %s', (_, candidate) => {
    expect(accepted(key.kid, candidate)).toBe(false);
  });
});

describe('the name of a key', () => {
  it('follows from the key, so that another key cannot take it over', () => {
    expect(capabilityKey(randomSecret()).kid).not.toBe(key.kid);
    expect(key.kid).toMatch(/^[0-9a-f]{8}$/);
  });
});

describe('the key of an address', () => {
  const next = capabilityKey(randomSecret());

  it('is the one of several that made it, or none', () => {
    expect(capabilityOf([next, key], key.kid, token, ORDER)).toBe(key);
    expect(capabilityOf([next], key.kid, token, ORDER)).toBeNull();
    expect(capabilityOf([next, key], next.kid, token, ORDER)).toBeNull();
    expect(capabilityOf([], key.kid, token, ORDER)).toBeNull();
  });
});
