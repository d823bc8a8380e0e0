import { spawnSync } from 'node:child_process';
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { newSecret, newSigningKeyPair, signatureHeaders } from '../../notifications/signature.ts';

type Headers = ReturnType<typeof signatureHeaders>;
interface Received {
  readonly headers: Headers;
  readonly body: string;
  /** The secret that the receiver holds. */
  readonly secret: string;
}

const NOW = Math.floor(Date.now() / 1_000);
const secrets = Array.from({ length: 16 }, newSecret);
const messages = Array.from({ length: 10_000 }, (_, at): Received => {
  const body = JSON.stringify({ id: at, text: randomBytes(at % 200).toString('latin1'), ключ: '付款' });
  const secret = secrets[at % secrets.length]!;
  const message = { id: `evt_order-${at}_${at % 7}`, timestamp: NOW - (at % 60), body };
  return { headers: signatureHeaders(message, [secret]), body, secret };
});

const other = (letter: string): string => (letter === 'A' ? 'B' : 'A');
/** One change of each message: in its body, an id, a time, the signature, its version, the secret. */
const MUTATIONS: readonly ((message: Received) => Received)[] = [
  (message) => ({ ...message, body: `${message.body} ` }),
  (message) => ({ ...message, body: message.body.replace('"id":', '"id":1') }),
  (message) => withHeader(message, 'webhook-id', (id) => `${id}0`),
  (message) => withHeader(message, 'webhook-timestamp', (time) => String(Number(time) - 1)),
  (message) => withHeader(message, 'webhook-signature', (text) => `v1,${other(text[3]!)}${text.slice(4)}`),
  (message) => withHeader(message, 'webhook-signature', (text) => text.replace('v1,', 'v1a,')),
  (message) => withHeader(message, 'webhook-signature', (text) => text.replace('v1,', '')),
  (message) => withHeader(message, 'webhook-signature', () => 'v1,'),
  (message) => ({ ...message, secret: newSecret() }),
  // The boundary between id and time: the same bytes are signed for another id.
  (message) => ({ ...message, headers: { ...message.headers, 'webhook-id': message.headers['webhook-id'].slice(1) } }),
];
const mutated = messages.slice(0, 1_000).map((message, at) => MUTATIONS[at % MUTATIONS.length]!(message));

function withHeader(message: Received, name: keyof Headers, change: (value: string) => string): Received {
  return { ...message, headers: { ...message.headers, [name]: change(message.headers[name]) } };
}

function byTheLibrary({ headers, body, secret }: Received): boolean {
  try {
    new Webhook(secret).verify(body, { ...headers });
    return true;
  } catch {
    return false;
  }
}

/** By the program of another language, which a person wrote from the specification; all messages at once. */
function byPython(all: readonly Received[]): boolean[] {
  const lines = all.map(({ headers, body, secret }) =>
    JSON.stringify([
      headers['webhook-id'],
      headers['webhook-timestamp'],
      headers['webhook-signature'],
      Buffer.from(body).toString('base64'),
      secret,
    ]),
  );
  const program = fileURLToPath(new URL('verify.py', import.meta.url));
  const { stdout, stderr } = spawnSync('python3', [program], { input: lines.join('\n'), encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout
    .trim()
    .split('')
    .map((digit) => digit === '1');
}

const VERIFIERS = [
  ['standardwebhooks', (all: readonly Received[]) => all.map(byTheLibrary), true],
  // A machine without python3 has one opinion less.
  ['verify.py', byPython, spawnSync('python3', ['--version']).status === 0],
] as const;

describe.each(VERIFIERS)('a signature, by %s', (_, verified, isHere) => {
  const say = isHere ? it : it.skip;
  const wrong = (all: readonly Received[], expected: boolean) => {
    const results = verified(all);
    expect(results).toHaveLength(all.length);
    return all.filter((_message, at) => results[at] !== expected);
  };

  say('of 10,000 messages is right, and of 1,000 that somebody changed is none', () => {
    expect(wrong(messages, true)).toEqual([]);
    expect(wrong(mutated, false)).toEqual([]);
  });

  say('is right for the old and the new secret while a secret rotates, and for no other', () => {
    const turning = messages.slice(0, 100).flatMap(({ headers, body }) => {
      const [before, after] = [newSecret(), newSecret()];
      const message = { id: headers['webhook-id'], timestamp: NOW, body };
      return [
        [before, [before]],
        [before, [after, before]],
        [after, [after, before]],
        [after, [after]],
      ].map(([secret, signing]) => ({
        headers: signatureHeaders(message, signing as string[]),
        body,
        secret: secret as string,
      }));
    });
    expect(wrong(turning, true)).toEqual([]);
    expect(
      wrong(
        turning.map((message) => ({ ...message, secret: newSecret() })),
        false,
      ),
    ).toEqual([]);
  });
});

/** The example of the specification. */
it('is the one of the specification for its example', () => {
  const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: '{"test": 2432232314}' };
  expect(signatureHeaders(message, ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'])).toEqual({
    'webhook-id': message.id,
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

describe('a pair of keys', () => {
  it('signs what its public key verifies, beside a secret, and nothing else', () => {
    const { privateKey, publicKey } = newSigningKeyPair();
    expect(publicKey).toMatch(/^whpk_[\w+/]{43}=$/);
    const secret = newSecret();
    const body = Buffer.from([0, 255, 13, 10]);
    const headers = signatureHeaders({ id: 'evt_1', timestamp: NOW, body }, [secret, privateKey]);
    const [symmetric, asymmetric] = headers['webhook-signature'].split(' ');
    expect([symmetric!.slice(0, 3), asymmetric!.slice(0, 4)]).toEqual(['v1,', 'v1a,']);
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey.slice(5), 'base64').toString('base64url') },
      format: 'jwk',
    });
    const isSigned = (bytes: Buffer) => verify(null, bytes, key, Buffer.from(asymmetric!.slice(4), 'base64'));
    const signed = Buffer.concat([Buffer.from(`evt_1.${NOW}.`), body]);
    expect([isSigned(signed), isSigned(Buffer.concat([signed, body]))]).toEqual([true, false]);
  });
});

describe('no signature', () => {
  const message = { id: 'evt_1', timestamp: NOW, body: '' };
  it.each([
    ['an id with a dot', { ...message, id: 'evt.1' }, [newSecret()]],
    ['an empty id', { ...message, id: '' }, [newSecret()]],
    ['a time with a fraction', { ...message, timestamp: 1.5 }, [newSecret()]],
    ['no secret', message, []],
    ['a secret without its prefix', message, [newSecret().slice(6)]],
    ['a short secret', message, ['whsec_AAAA']],
    ['a public key', message, [newSigningKeyPair().publicKey]],
  ])('is made for %s, and the error does not show the secret', (_, wrong, signing) => {
    expect(() => signatureHeaders(wrong, signing)).toThrow(TypeError);
    expect(() => signatureHeaders(wrong, signing)).not.toThrow(signing[0]?.slice(6) ?? 'whsec_');
  });

  it('is the same for two secrets', () => {
    expect(new Set(secrets).size).toBe(secrets.length);
    for (const secret of secrets) expect(secret).toMatch(/^whsec_[\w+/]{43}=$/);
  });
});
