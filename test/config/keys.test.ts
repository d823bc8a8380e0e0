import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createKeyring, mapKeyring } from '../../config/keys/keyring.ts';
import { keyVariables, parseKeys } from '../../config/keys/keys.ts';
import { isSample } from '../../config/keys/samples.ts';
import { Secret } from '../../config/keys/secret.ts';

type Env = Readonly<Record<string, string | undefined>>;

const RINGS = ['mtpay', 'callback', 'payerName', 'fingerprint'] as const;
const key = () => randomBytes(32).toString('base64url');
const CURRENT: Env = Object.fromEntries(
  ['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', 'CALLBACK_KEY', 'PAYER_NAME_KEY', 'FINGERPRINT_KEY'].map((name) => [
    name,
    key(),
  ]),
);
const read = (change: Env = {}, samples = false) => parseKeys({ ...CURRENT, ...change }, RINGS, { samples });
const UNTIL = '2030-01-02T03:04:05Z';

describe('the keys of a process', () => {
  it('are one of each when nothing rotates', () => {
    const { keys } = read();
    for (const name of RINGS) expect(keys![name]).toMatchObject({ next: null, previous: null });
    expect(keys!.mtpay.current.secretKey.reveal().toString()).toBe(CURRENT['MTPAY_SECRET_KEY']);
    expect(keys!.callback.current.reveal()).toEqual(Buffer.from(CURRENT['CALLBACK_KEY']!, 'base64url'));
  });

  it('are up to three in a rotation', () => {
    const [next, previous] = [key(), key()];
    const { keys } = read({
      CALLBACK_KEY_NEXT: next,
      CALLBACK_KEY_PREVIOUS: previous,
      CALLBACK_KEY_PREVIOUS_UNTIL: '2030-01-02T11:04:05+08:00',
    });
    expect(keys!.callback.next!.reveal().toString('base64url')).toBe(next);
    expect(keys!.callback.previous!.key.reveal().toString('base64url')).toBe(previous);
    expect(keys!.callback.previous!.untilMs).toBe(Date.parse(UNTIL));
  });

  it.each<[string, Env, string]>([
    ['half a next pair', { MTPAY_ACCESS_KEY_NEXT: key() }, 'MTPAY_SECRET_KEY_NEXT: is not set'],
    [
      'half a previous pair',
      { MTPAY_SECRET_KEY_PREVIOUS: key(), MTPAY_KEY_PREVIOUS_UNTIL: UNTIL },
      'MTPAY_ACCESS_KEY_PREVIOUS: is not set',
    ],
    [
      'a previous key without an end',
      { CALLBACK_KEY_PREVIOUS: key() },
      'CALLBACK_KEY_PREVIOUS_UNTIL: is not set, and every previous key has an end',
    ],
    ['no current key', { PAYER_NAME_KEY: undefined }, 'PAYER_NAME_KEY: is not set'],
    [
      'a next key for a current one',
      { FINGERPRINT_KEY: undefined, FINGERPRINT_KEY_NEXT: key() },
      'FINGERPRINT_KEY: is not set',
    ],
    [
      'an access key with a blank',
      { MTPAY_ACCESS_KEY: 'abc def' },
      'MTPAY_ACCESS_KEY: expected visible ASCII characters without blanks',
    ],
    [
      'two lines',
      { MTPAY_SECRET_KEY: `${key()}\n${key()}` },
      'MTPAY_SECRET_KEY: expected visible ASCII characters without blanks',
    ],
    ['a short key', { CALLBACK_KEY: 'abc' }, 'CALLBACK_KEY: expected at least 32 random bytes as base64url'],
    [
      'the same key for two purposes',
      { FINGERPRINT_KEY: CURRENT['CALLBACK_KEY'] },
      'FINGERPRINT_KEY: is the same as CALLBACK_KEY',
    ],
    [
      'the same key in another spelling',
      { CALLBACK_KEY_NEXT: `${CURRENT['CALLBACK_KEY']}=` },
      'CALLBACK_KEY_NEXT: is the same as CALLBACK_KEY',
    ],
  ])('are refused whole with %s, and no value is shown', (_, change, problem) => {
    const { keys, problems } = read(change);
    expect(keys).toBeNull();
    expect(problems).toEqual([problem]);
  });

  it.each([
    'soon',
    '2030-01-02',
    '2030-01-02T03:04:05',
    '2030-02-30T00:00:00Z',
    '1893553445000',
    '2030-01-02T25:00:00Z',
  ])('have no end such as %s', (until) => {
    expect(read({ CALLBACK_KEY_PREVIOUS: key(), CALLBACK_KEY_PREVIOUS_UNTIL: until }).problems).toEqual([
      'CALLBACK_KEY_PREVIOUS_UNTIL: expected a time with its zone, such as 2026-03-01T12:00:00Z',
    ]);
  });

  it('may have an end written down before there is a previous key, so that files can be written one by one', () => {
    expect(read({ CALLBACK_KEY_PREVIOUS_UNTIL: UNTIL }).keys!.callback.previous).toBeNull();
  });

  it('are those of the process only: a worker knows no fingerprint key', () => {
    const { keys } = parseKeys(CURRENT, ['mtpay', 'callback', 'payerName'], { samples: false });
    expect(Object.keys(keys!)).toEqual(['mtpay', 'callback', 'payerName']);
    expect(keyVariables(['callback'])).toEqual([
      'CALLBACK_KEY',
      'CALLBACK_KEY_NEXT',
      'CALLBACK_KEY_PREVIOUS',
      'CALLBACK_KEY_PREVIOUS_UNTIL',
    ]);
  });
});

describe('a key that anybody could think of', () => {
  it.each([
    'B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R',
    'WUYx7DTQZakugtP9gOAimYUphcnc3jWuPRi1UVnWmwXSnMnsCVBzz1ILdaxisvz9',
    'k'.repeat(43),
    'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz',
    'Xk3mQ9Xk3mQ9Xk3mQ9Xk3mQ9Xk3mQ9Xk3mQ9Xk3mQ9Xk3mQ9',
    'changeme-Jq2VnX0aTz8Lr5Wc1Yp7Kd4Bs9Mh6Fg3Ue0Io',
    'this-is-only-an-EXAMPLE-Jq2VnX0aTz8Lr5Wc1Yp7Kd4Bs9',
    'your-key-here-Jq2VnX0aTz8Lr5Wc1Yp7Kd4Bs9Mh6Fg3Ue0',
    '0123456789012345678901234567890123456789012',
    Buffer.alloc(32).toString('base64url'),
    Buffer.from('changeme changeme changeme 1234!').toString('base64url'),
    'secret-key-text',
    'Jq2VnX0aTz8Lr5WcJq2VnX0aTz8Lr5WcJq2VnX0aTz8Lr5Wc',
    ...['dummy', 'your', 'test', 'access'].map((whose) => `${whose}key-Jq2VnX0aTz8Lr5Wc1Yp7Kd4Bs9Mh6Fg3Ue0`),
  ])('is refused, but for the local stack: %s', (text) => {
    expect(isSample(text)).toBe(true);
    expect(read({ MTPAY_SECRET_KEY: text }).problems).toEqual([
      'MTPAY_SECRET_KEY: is a sample or easy to guess; use a key of your own',
    ]);
    expect(read({ MTPAY_SECRET_KEY: text }, true).problems).toEqual([]);
  });

  it('has fewer than eight different characters, however they are mixed', () => {
    const seven = 'JqVnXzTTzJXqnVVJzqTnXXzVJqTnJzXVqTJnXzzqVTJ';
    expect([seven, `${seven.slice(1)}L`].map((text) => [new Set(text).size, isSample(text)])).toEqual([
      [7, true],
      [8, false],
    ]);
  });

  it('is none that has six digits or letters in a row, as hexadecimal text has by chance', () => {
    const drawn = ['3f9a7123456c0e82', '9c0abcdef4117d3e', 'e81d60123456b2a7'].map((part) => `${part}5b7e1d2f94a8c603`);
    expect(drawn.filter((text) => isSample(text))).toEqual([]);
  });

  it('is none that was drawn', () => {
    const drawn = Array.from({ length: 2_000 }, () => [
      randomBytes(32).toString('base64url'),
      randomBytes(24).toString('hex'),
    ]);
    expect(drawn.flat().filter((text) => isSample(text))).toEqual([]);
  });
});

describe('a ring', () => {
  const [current, next, previous] = ['current', 'next', 'previous'].map((name) => new Secret(Buffer.from(name)));
  const set = { current: current!, next: next!, previous: { key: previous!, untilMs: 1_000 } };

  it('signs with one key and verifies with all, the previous one until its very end', () => {
    let nowMs = 999;
    const ring = createKeyring(
      () => set,
      () => nowMs,
    );
    expect(ring.current).toBe(current);
    expect(ring.verifying).toEqual([current, next, previous]);
    nowMs = 1_000;
    expect(ring.verifying).toEqual([current, next]);
  });

  it('has the keys of the moment, in every form of it', () => {
    let sets = { current: current!, next: null, previous: null } as
      | typeof set
      | { current: Secret; next: null; previous: null };
    let made = 0;
    const ring = mapKeyring(
      createKeyring<Secret>(() => sets),
      (key) => ({ n: (made += 1), text: key.reveal().toString() }),
    );
    expect(ring.current).toBe(ring.verifying[0]);
    sets = { current: next!, next: null, previous: null };
    expect(ring.current.text).toBe('next');
    expect(ring.verifying.map((key) => key.text)).toEqual(['next']);
    expect(made).toBe(2);
  });
});
