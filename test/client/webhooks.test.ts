import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { type WebhookFault, verify } from '../../client/src/webhooks.ts';
import { EVENT_TYPES, exampleOf } from '../../contract/events.ts';

/** Notifications are verified as Standard Webhooks says; the library of its authors is the second opinion. */
const NOW = new Date('2026-01-31T09:41:10.000Z');
const secretOf = (bytes: number) => `whsec_${randomBytes(bytes).toString('base64')}`;

interface Message {
  readonly body: string;
  readonly headers: Record<string, string>;
}
function messageOf(secret: string, body: string, at = NOW, id = 'evt_order-1001_2'): Message {
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign(id, at, body),
  };
  return { body, headers };
}
const secret = secretOf(32);
const bodies = EVENT_TYPES.map((type) => JSON.stringify(exampleOf(type)));
const message = messageOf(secret, bodies[4]!);
const faultOf = ({ body, headers }: Message, secrets: string | readonly string[] = secret, options = {}) => {
  try {
    verify(body, headers, secrets, { now: NOW, ...options });
    return null;
  } catch (error) {
    return (error as { fault: WebhookFault }).fault;
  }
};

test('the vector of the specification is verified', () => {
  const headers = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  };
  const now = { now: new Date(1_614_265_330_000) };
  // Its body is no event of ours: the fault says that the signature was right.
  expect(faultOf({ body: '{"test": 2432232314}', headers }, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', now)).toBe(
    'body',
  );
});

test('each type of event comes back as it was sent, as text or as bytes, with the headers of Node or of fetch', () => {
  for (const body of bodies) {
    const { headers } = messageOf(secret, body);
    const event = JSON.parse(body);
    expect(verify(body, headers, secret, { now: NOW })).toEqual(event);
    expect(verify(new TextEncoder().encode(body), new Headers(headers), [secret], { now: NOW })).toEqual(event);
    const loud = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]));
    expect(verify(Buffer.from(body), loud, secret, { now: NOW })).toEqual(event);
  }
});

test('while secrets rotate, a message of the old one and of the new one is taken, and of a third not', () => {
  const [old, fresh, foreign] = [secretOf(24), secretOf(64), secretOf(32)];
  for (const one of [old, fresh]) expect(faultOf(messageOf(one, bodies[0]!), [fresh, old])).toBeNull();
  expect(faultOf(messageOf(foreign, bodies[0]!), [fresh, old])).toBe('signature');
  const both = messageOf(old, bodies[0]!);
  both.headers['webhook-signature'] += ` ${messageOf(fresh, bodies[0]!).headers['webhook-signature']}`;
  for (const one of [old, fresh]) expect(faultOf(both, one)).toBeNull();
});

test('a signature of a private key is verified by the public key alone, and only as v1a', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const shown = `whpk_${publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')}`;
  const { body, headers } = message;
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const bytes = sign(null, Buffer.from(text), privateKey).toString('base64');
  const signed = (signature: string, of = body) => ({
    body: of,
    headers: { ...headers, 'webhook-signature': signature },
  });
  expect(faultOf(signed(`v1,abc v1a,${bytes}`), shown)).toBeNull();
  expect(faultOf(signed(`v1a,${bytes}`), [secret, shown])).toBeNull();
  expect(faultOf(signed(`v1a,${bytes}`), secret)).toBe('signature');
  expect(faultOf(signed(`v1,${bytes}`), shown)).toBe('signature');
  expect(faultOf(signed(`v1a,${bytes}`, `${body} `), shown)).toBe('signature');
  expect(faultOf(message, shown)).toBe('signature');
});

describe('refused', () => {
  test('outside of five minutes, or of what the receiver tolerates', () => {
    const at = (seconds: number) => messageOf(secret, bodies[0]!, new Date(NOW.getTime() + seconds * 1_000));
    for (const seconds of [-300, 0, 300]) expect(faultOf(at(seconds))).toBeNull();
    expect([faultOf(at(-301)), faultOf(at(301))]).toEqual(['too_old', 'too_new']);
    expect(faultOf(at(-11), secret, { toleranceSeconds: 10 })).toBe('too_old');
    expect(faultOf(at(-900), secret, { toleranceSeconds: 1_000 })).toBeNull();
  });

  test.each<[string, Record<string, string | string[] | undefined>]>([
    ['no id', { 'webhook-id': undefined }],
    ['no time', { 'webhook-timestamp': undefined }],
    ['no signature', { 'webhook-signature': undefined }],
    ['an empty signature', { 'webhook-signature': '' }],
    ['an id twice', { 'Webhook-Id': 'evt_order-1001_2' }],
    ['two signatures as a list', { 'webhook-signature': ['v1,a', 'v1,b'] }],
    ['a dot in the id', { 'webhook-id': 'evt.1' }],
    ['a time that is no number', { 'webhook-timestamp': '1769852470abc' }],
    ['a time with a fraction', { 'webhook-timestamp': '1769852470.5' }],
    ['endless signatures', { 'webhook-signature': 'v1,a '.repeat(500) }],
  ])('%s', (_, change) => {
    expect(faultOf({ body: message.body, headers: { ...message.headers, ...change } as never })).toBe('headers');
  });

  test('a signed body that is no event', () => {
    for (const body of ['', 'null', '[]', '{}', '{"type":1}', '{"type"']) {
      expect(faultOf(messageOf(secret, body))).toBe('body');
    }
  });

  test('a secret that is none, before anything is compared', () => {
    for (const bad of [[], '', 'whsec_', 'whsec_c2hvcnQ=', secret.slice(6), 'whpk_c2hvcnQ=', `${secret}\n`])
      expect(() => verify(message.body, message.headers, bad, { now: NOW })).toThrow(TypeError);
  });
});

test('1,000 changed messages are refused here and by the library of the specification; unchanged, both take them', () => {
  // The library takes the time from the clock.
  const at = new Date();
  let refused = 0;
  for (let round = 0; refused < 1_000; round += 1) {
    const sent = messageOf(secret, bodies[round % bodies.length]!, at, `evt_order-${round}_1`);
    const taken = ({ body, headers }: Message) => [
      faultOf({ body, headers }, secret, { now: at }) === null,
      isTakenByLibrary(body, headers),
    ];
    expect(taken(sent)).toEqual([true, true]);
    for (const changed of changesOf(sent)) {
      expect(taken(changed), JSON.stringify(changed)).toEqual([false, false]);
      refused += 1;
    }
  }
});

function isTakenByLibrary(body: string, headers: Record<string, string>): boolean {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

/** One character of each part is another; the signature is of another secret, of another version, or cut. */
function* changesOf({ body, headers }: Message): Generator<Message> {
  const changed = (text: string, alphabet: string) => {
    const place = randomBytes(4).readUInt32BE() % text.length;
    const others = Array.from(alphabet).filter((char) => char !== text[place]);
    return text.slice(0, place) + others[randomBytes(1)[0]! % others.length]! + text.slice(place + 1);
  };
  const withHeader = (name: string, value: string) => ({ body, headers: { ...headers, [`webhook-${name}`]: value } });
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  const base64 = `${letters}+/`;
  const signature = headers['webhook-signature']!;
  yield { body: changed(body, letters), headers };
  yield { body: `${body} `, headers };
  yield { body: body.slice(0, -1), headers };
  yield withHeader('id', changed(headers['webhook-id']!, letters));
  yield withHeader('timestamp', changed(headers['webhook-timestamp']!, '0123456789'));
  yield withHeader('signature', `v1,${changed(signature.slice(3), base64)}`);
  // The same bytes in another spelling.
  const last = base64[base64.indexOf(signature.at(-2)!) ^ 1]!;
  yield withHeader('signature', `${signature.slice(0, -2)}${last}=`);
  yield withHeader('signature', signature.slice(0, -2));
  yield withHeader('signature', signature.replace('v1,', 'v2,'));
  yield withHeader('signature', signature.replace('v1,', ''));
  yield withHeader('signature', messageOf(secretOf(32), body).headers['webhook-signature']!);
}
