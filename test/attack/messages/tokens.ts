import type { AttackClass, Holdings } from '../ground/holdings.ts';

const PREFIX = '/v1/callbacks/mtpay';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const at = (kid: string, token: string): string => `${PREFIX}/${kid}/${token}`;

/** Key id and token of the attacker's own order: the key id is the same for all. */
const ownParts = ({ own }: Holdings): [kid: string, token: string] => {
  const [kid, token] = own.path.split('/').slice(-2);
  return [kid!, token!];
};

/** Addresses an attacker can make up without the target's token. */
const GUESSES: Readonly<Record<string, (holdings: Holdings) => string>> = {
  'a random token': (h) => at(ownParts(h)[0], h.random.base64url(43)),
  'the token of an own order': (h) => h.own.path,
  'a random key id': (h) => at(h.random.hex(8).toLowerCase(), ownParts(h)[1]),
  'one character of an own token changed': (h) => {
    const [kid, token] = ownParts(h);
    const place = h.random.int(43);
    return at(kid, `${token.slice(0, place)}${ALPHABET[h.random.int(64)]}${token.slice(place + 1)}`);
  },
  'an own token respelled': (h) => {
    const [kid, token] = ownParts(h);
    return at(kid, token.slice(0, -1) + ALPHABET[ALPHABET.indexOf(token.at(-1)!) ^ h.random.pick([1, 2, 3])]);
  },
  'an own token cut or grown': (h) => {
    const [kid, token] = ownParts(h);
    return at(kid, h.random.pick([token.slice(0, -1), `${token}=`, `${token}A`, token + token, `${token}%00`]));
  },
  'no token': (h) => h.random.pick([PREFIX, `${PREFIX}/`, at(ownParts(h)[0], ''), at('', ''), '/', '/v1/callbacks']),
  'a token that names the order': (h) =>
    at(ownParts(h)[0], h.random.pick([h.target.order.externalOrderNumber, 'undefined', 'null', 'A'.repeat(43)])),
  'a path that climbs': (h) =>
    at(
      h.random.pick(['..', '%2e%2e', ownParts(h)[0], '.']),
      h.random.pick(['..%2f..%2f', '%2e%2e/%2e%2e', '..;/', '%252e%252e', `..%5c${h.random.hex(4)}`, '%c0%ae%c0%ae']),
    ),
};

/** One of the addresses above, for attempts whose point is elsewhere. */
export const guessPath = (holdings: Holdings): string => holdings.random.pick(Object.values(GUESSES))(holdings);

/** The genuine message of the target at an address that is not its own. */
export const TOKEN_CLASSES: readonly AttackClass[] = Object.entries(GUESSES).map(([name, guess]) => ({
  name,
  rows: ['T1', 'T10'],
  forge: (holdings) => ({ path: guess(holdings), body: holdings.base.body }),
}));
