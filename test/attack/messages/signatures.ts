import { createHash, createHmac } from 'node:crypto';
import type { AttackClass, Holdings } from '../ground/holdings.ts';
import { compose } from '../ground/victims.ts';

/** The pair that MTPay's documents print. */
const SAMPLE = {
  accessKey: 'B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R',
  secretKey: 'WUYx7DTQZakugtP9gOAimYUphcnc3jWuPRi1UVnWmwXSnMnsCVBzz1ILdaxisvz9',
} as const;

const hmac = (algorithm: string, secret: string, text: string) =>
  createHmac(algorithm, secret).update(text).digest('hex').toUpperCase();

/** Values in place of the signature, as JSON. None of them is one. */
const FORGERIES: Readonly<Record<string, (holdings: Holdings) => string>> = {
  'random digits': ({ random }) => `"${random.hex(64)}"`,
  'an empty signature': ({ random }) => random.pick(['""', '" "', String.raw`"\u0000"`]),
  'a signature that is no text': ({ random }) =>
    random.pick(['null', 'true', 'false', '0', '1e400', '{}', '[]', `["${random.hex(64)}"]`, '{"length":64}']),
  'another length': ({ random }) => `"${random.hex(random.pick([1, 32, 63, 65, 128, 4_000]))}"`,
  'digits of another alphabet': ({ random }) =>
    `"${random.hex(63)}${random.pick(['g', 'G', '\u{ff21}', '\u0660', 'Z', '.', '%'])}"`,
  'all digits alike': ({ random }) => `"${random.hex(1).repeat(64)}"`,
  'lower case': ({ random }) => `"${random.hex(64).toLowerCase()}"`,
  'white space around': ({ random }) =>
    `"${random.pick([' ', '\\n', '\\t', '\\u00a0'])}${random.hex(64)}${random.pick(['', ' ', '\\r\\n'])}"`,
  'the pair of the documents': ({ target }) =>
    `"${hmac('sha256', SAMPLE.secretKey, `${SAMPLE.accessKey}_${stampOf(target)}`)}"`,
  'a secret that can be guessed': ({ random, target }) =>
    `"${hmac(
      'sha256',
      random.pick(['', 'secret', 'password', target.path.split('/').at(-1)!, target.order.externalOrderNumber]),
      `${random.pick(['', SAMPLE.accessKey, 'undefined', 'null'])}_${stampOf(target)}`,
    )}"`,
  'another algorithm': ({ random, target }) =>
    `"${random.pick([
      hmac('sha512', '', `_${stampOf(target)}`).slice(0, 64),
      hmac('md5', '', `_${stampOf(target)}`).repeat(2),
      createHash('sha256')
        .update(`${stampOf(target)}`)
        .digest('hex')
        .toUpperCase(),
      createHash('sha256').update('').digest('base64'),
    ])}"`,
};

const stampOf = ({ callback, outbound }: Holdings['target']): number =>
  callback?.ticket.timestampMs ?? outbound.timestampMs;

/** The target's own message with another value for its signature. */
export function forgeSignature(holdings: Holdings, as?: string): string {
  const { random, target } = holdings;
  const forged = (as === undefined ? random.pick(Object.values(FORGERIES)) : FORGERIES[as]!)(holdings);
  const timestampMs = random.pick([stampOf(target), Date.now(), Date.now() + random.int(600_000)]);
  return compose(target.data, { signature: '\u0001', timestampMs }).replace(String.raw`"\u0001"`, () => forged);
}

const bare = (holdings: Holdings): string => forgeSignature(holdings).replace(/^\{"signature":(?:"[^"]*"|[^,]*),/, '{');

/** The genuine message of the target, at its own address, without a signature of the provider's. */
export const SIGNATURE_CLASSES: readonly AttackClass[] = [
  ...Object.keys(FORGERIES).map((name) => ({
    name,
    rows: ['T11'],
    forge: (holdings: Holdings) => ({ path: holdings.target.path, body: forgeSignature(holdings, name) }),
  })),
  {
    name: 'no signature at all',
    rows: ['T11'],
    forge: (holdings) => ({ path: holdings.target.path, body: bare(holdings) }),
  },
  {
    name: 'a signature somewhere else',
    rows: ['T11', 'T15'],
    forge: (holdings) => {
      const digits = holdings.random.hex(64);
      const inside = holdings.random.pick([
        `"Signature":"${digits}",`,
        `"signature ":"${digits}",`,
        `"constructor":{"prototype":{"signature":"${digits}"}},`,
        `"__proto__":{"signature":"${digits}"},`,
        '',
      ]);
      return {
        path: `${holdings.target.path}?signature=${digits}`,
        headers: { signature: digits, authorization: `Bearer ${digits}`, 'x-signature': digits },
        body: bare(holdings).replace('{', () => `{${inside}`),
      };
    },
  },
  {
    name: 'a stamp nobody signed yet',
    rows: ['T11', 'T13'],
    forge: ({ random, target }) => ({
      path: target.path,
      body: compose(target.data, {
        signature: random.hex(64),
        timestampMs: random.pick([0, 1, Date.now() + 3_600_000, 999_999_999_999_999, 1_625_546_438_154]),
      }),
    }),
  },
];
