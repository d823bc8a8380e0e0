import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { createApiKey, type Scope } from '../../database/queries/api-keys.ts';
import { publishEvents } from '../../database/queries/events.ts';
import { claimDeliveries, settleDeliveries } from '../../database/queries/notifications/deliveries.ts';
import { creditAll } from '../../ledger/credit.ts';
import { openEndpointSecret } from '../../notifications/endpoint-secrets.ts';
import { signatureHeaders } from '../../notifications/signature.ts';
import { payments } from '../ledger/payments.ts';
import { type Answer, startEngine } from '../support/engine.ts';
import { createChecker } from '../support/pages/document.ts';
import { expectRefusal, memoryLog } from './evidence.ts';
import { withApi } from './parts.ts';
import { traces } from './traces.ts';

const secretKey = randomBytes(32);
const engine = await startEngine({
  worker: false,
  env: { ENDPOINT_SECRET_KEY: secretKey.toString('base64url'), NOTIFY_LOCAL_TARGETS: '127.0.0.1:4010' },
});
const [worker, notifier] = [engine.db.poolFor('app_worker'), engine.db.poolFor('app_notifier')];
const keyOf = (name: string, wallets?: string[], scopes: Scope[] = ['endpoints:manage', 'events:read', 'audit:read']) =>
  createApiKey(engine.db.owner, { name, scopes, wallets });
const keys = {
  shop: await keyOf('shop'),
  limited: await keyOf('shop', ['wallet-1', 'wallet-2']),
  other: await keyOf('other'),
};
const document = (await engine.call('GET', '/openapi.json', undefined, { key: null })).body;
const checker = createChecker(document);

/** Calls the API as the shop, and compares the response with the document. */
async function call(method: string, path: string, body?: unknown, key = keys.shop): Promise<Answer> {
  const answer = await engine.call(method, path, body, { key });
  const described = path
    .split('?')[0]!
    .replace(/\/ep_\d+/, '/{id}')
    .replace(/redeliveries\/\d+/, 'redeliveries/{redelivery}')
    .replace(/deposits\/[\w-]+/, 'deposits/{externalOrderNumber}');
  expect(checker.answerFault(described, method, answer), answer.text).toBeNull();
  return answer;
}
const URL_OF_SHOP = 'https://shop.example/hook?token=hidden-word';
async function made(change: object = {}, key = keys.shop): Promise<Answer['body']> {
  const answer = await call('POST', '/v1/endpoints', { url: URL_OF_SHOP, ...change }, key);
  expect(answer.status, answer.text).toBe(201);
  expect(answer.headers.get('location')).toBe(`/v1/endpoints/${answer.body.id}`);
  return answer.body;
}
const listed = async (key = keys.shop): Promise<string[]> =>
  (await call('GET', '/v1/endpoints', undefined, key)).body.items.map((one: { id: string }) => one.id);

/** Credits a deposit. Returns its number; its two events are published. */
async function credited(): Promise<string> {
  const [one] = await payments(engine.db.owner, 1);
  await creditAll(worker, [one!.item]);
  while ((await publishEvents(worker)) > 0);
  return one!.item.deposit;
}
/** A sender that gets this answer from every endpoint. */
async function sent(status: number, answer = 'ok'): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const taken = await claimDeliveries(notifier, 64);
    if (taken.length === 0) return names;
    names.push(...taken.map(({ name }) => name));
    const results = taken.map(({ attempt }) => ({ attempt, status, fault: null, ms: 3, answer, waitMs: null }));
    await settleDeliveries(notifier, results);
  }
}
const deliveries = async (query: string, key = keys.shop) =>
  (await call('GET', `/v1/deliveries?${query}`, undefined, key)).body;

describe('an endpoint', () => {
  test('is made with a secret that is shown once, and signs with it', async () => {
    const { secret, ...endpoint } = await made();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(endpoint).toEqual({
      id: expect.stringMatching(/^ep_\d+$/),
      url: URL_OF_SHOP,
      types: null,
      wallets: null,
      state: 'on',
      signature: 'v1',
      publicKey: null,
      previousSecretUntil: null,
      createdAt: expect.any(String),
      failingSince: null,
      pausedUntil: null,
    });
    expect((await call('GET', `/v1/endpoints/${endpoint.id}`)).body).toEqual(endpoint);
    expect((await call('GET', '/v1/endpoints')).body.items).toContainEqual(endpoint);
    const { rows } = await engine.db.owner.query('select secret, owner from engine.endpoint where id = $1', [
      endpoint.id.slice(3),
    ]);
    const ring = fixedKeyring(new Secret(secretKey));
    expect(openEndpointSecret(ring, 'shop', rows[0].secret)).toBe(secret);
    expect(() => openEndpointSecret(ring, 'other', rows[0].secret)).toThrow();
  });

  test('with signature v1a shows the public key alone, and its private key signs what that one verifies', async () => {
    const { secret, publicKey, id } = await made({ signature: 'v1a' });
    expect(secret).toBeNull();
    const { rows } = await engine.db.owner.query('select secret from engine.endpoint where id = $1', [id.slice(3)]);
    const sealed = openEndpointSecret(fixedKeyring(new Secret(secretKey)), 'shop', rows[0].secret);
    const headers = signatureHeaders({ id: 'evt_a_1', timestamp: 1, body: '{}' }, [sealed]);
    const key = createPublicKey({
      key: {
        kty: 'OKP',
        crv: 'Ed25519',
        x: Buffer.from(publicKey.slice('whpk_'.length), 'base64').toString('base64url'),
      },
      format: 'jwk',
    });
    const signature = Buffer.from(headers['webhook-signature'].split(',')[1]!, 'base64');
    expect(verify(null, Buffer.from('evt_a_1.1.{}'), key, signature)).toBe(true);
    const read = await call('GET', `/v1/endpoints/${id}`);
    expect(read.body.publicKey).toBe(publicKey);
    expect(read.text).not.toContain('whsk_');
  });

  test('is changed, disabled, enabled and deleted', async () => {
    const { id } = await made({ types: ['deposit.credited', 'deposit.reversed'] });
    const change = async (body: object) => (await call('PATCH', `/v1/endpoints/${id}`, body)).body;
    expect(await change({ enabled: false })).toMatchObject({
      state: 'off',
      types: ['deposit.credited', 'deposit.reversed'],
    });
    expect(await change({ url: 'HTTPS://Shop.example:443/%7Eb', types: null })).toMatchObject({
      url: 'https://shop.example/%7Eb',
      types: null,
      state: 'off',
    });
    expect(await change({ types: ['case.opened'], enabled: true })).toMatchObject({
      state: 'on',
      types: ['case.opened'],
    });
    const gone = await call('DELETE', `/v1/endpoints/${id}`);
    expect({ status: gone.status, text: gone.text }).toEqual({ status: 204, text: '' });
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { enabled: true }],
      ['POST', '/rotate', {}],
      ['POST', '/redeliveries', { event: 'evt_a_1' }],
      ['DELETE', '', undefined],
    ] as const) {
      expectRefusal(await call(method, `/v1/endpoints/${id}${path}`, body), 404, 'not_found');
    }
    expectRefusal(await call('GET', `/v1/deliveries?endpoint=${id}`), 404, 'not_found');
    expect(await listed()).not.toContain(id);
    const { rows } = await engine.db.owner.query('select length(secret) as n from engine.endpoint where id = $1', [
      id.slice(3),
    ]);
    expect(rows).toEqual([{ n: 0 }]);
  });

  test('gets a new secret, and the old one signs as well until the overlap ends', async () => {
    const { id, secret } = await made();
    const rotated = (await call('POST', `/v1/endpoints/${id}/rotate`, {})).body;
    expect(rotated.secret).toMatch(/^whsec_/);
    expect(rotated.secret).not.toBe(secret);
    expect(Date.parse(rotated.previousSecretUntil) - Date.now()).toBeGreaterThan(23 * 3_600_000);
    expect((await call('GET', `/v1/endpoints/${id}`)).body.previousSecretUntil).toBe(rotated.previousSecretUntil);
    const at_once = (await call('POST', `/v1/endpoints/${id}/rotate`, { overlapHours: 0 })).body;
    expect(at_once.previousSecretUntil).toBeNull();
    const ed = await made({ signature: 'v1a' });
    const after = (await call('POST', `/v1/endpoints/${ed.id}/rotate`, { overlapHours: 168 })).body;
    expect([after.secret, after.publicKey === ed.publicKey]).toEqual([null, false]);
  });

  test.each([
    [{ overlapHours: 169 }, 'overlapHours'],
    [{ overlapHours: -1 }, 'overlapHours'],
    [{ overlapHours: 1.5 }, 'overlapHours'],
    [{ overlap: 1 }, 'overlap'],
  ])('is not rotated with %j', async (body, field) => {
    const answer = await call('POST', `/v1/endpoints/ep_1/rotate`, body);
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.errors[0].field).toBe(field);
  });

  test.each<[string, string]>([
    ['expected https', 'ftp://hidden-word.example/'],
    ['expected https', 'http://hidden-word.example/'],
    ['expected port 443', 'https://hidden-word.example:8443/'],
    ['no user and no password', 'https://u:hidden-word@shop.example/'],
    ['no fragment', 'https://shop.example/#hidden-word'],
    ['with a dot', 'https://hidden-word/'],
    ['the public internet', 'https://127.1/hidden-word'],
    ['the public internet', 'https://0x7f000001/hidden-word'],
    ['the public internet', 'https://[::ffff:10.0.0.1]/hidden-word'],
    ['the public internet', 'https://169.254.169.254/hidden-word'],
    ['such as https://shop.example/deposits', 'hidden-word'],
    ['without blanks and backslashes', 'https://shop.example\\hidden-word'],
    // Longer in its one spelling than as it was given.
    ['at most 2000 characters', `https://shop.example/${'ü'.repeat(400)}hidden-word`],
    ['2000', `https://shop.example/${'x'.repeat(2_000)}hidden-word`],
  ])('refuses an address in words, without the value: %s', async (words, url) => {
    const body = { url };
    const { id } = (await call('GET', '/v1/endpoints')).body.items[0];
    for (const answer of [
      await call('POST', '/v1/endpoints', body),
      await call('PATCH', `/v1/endpoints/${id}`, body),
    ]) {
      expectRefusal(answer, 400, 'invalid_request');
      expect(answer.body.errors).toEqual([{ field: 'url', message: expect.stringContaining(words) }]);
      expect(answer.text).not.toContain('hidden-word');
    }
  });

  test('may be on our own network where a setting names it', async () => {
    const answer = await call('POST', '/v1/endpoints', { url: 'http://127.0.0.1:4010/hook' });
    expect(answer.body).toMatchObject({ url: 'http://127.0.0.1:4010/hook' });
    await call('DELETE', `/v1/endpoints/${answer.body.id}`);
  });

  test.each<[object, string]>([
    [{}, 'url'],
    [{ url: URL_OF_SHOP, types: [] }, 'types'],
    [{ url: URL_OF_SHOP, types: ['deposit.credited', 'deposit.credited'] }, 'types'],
    [{ url: URL_OF_SHOP, types: ['deposit.made'] }, 'types.0'],
    [{ url: URL_OF_SHOP, signature: 'v2' }, 'signature'],
    [{ url: URL_OF_SHOP, secret: 'whsec_AAAA' }, 'secret'],
  ])('is not made of %j', async (body, field) => {
    const answer = await call('POST', '/v1/endpoints', body);
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.errors[0].field).toBe(field);
  });

  test('is not changed by nothing', async () =>
    expectRefusal(await call('PATCH', '/v1/endpoints/ep_1', {}), 400, 'invalid_request'));

  test('needs the scope', async () => {
    const reader = await keyOf('reader', undefined, ['events:read', 'deposits:read']);
    expectRefusal(await call('GET', '/v1/endpoints', undefined, reader), 403, 'forbidden');
    expectRefusal(await call('POST', '/v1/endpoints', { url: URL_OF_SHOP }, reader), 403, 'forbidden');
    expectRefusal(await call('GET', '/v1/deliveries?endpoint=ep_1', undefined, reader), 403, 'forbidden');
  });

  test('is one of at most 20 of a name', async () => {
    const many = await keyOf('many');
    for (let n = 0; n < 20; n += 1) await made({}, many);
    expectRefusal(await call('POST', '/v1/endpoints', { url: URL_OF_SHOP }, many), 409, 'limit_reached');
    expect(await listed(many)).toHaveLength(20);
    await call('DELETE', `/v1/endpoints/${(await listed(many))[0]}`, undefined, many);
    await made({}, many);
    for (const id of await listed(many)) await call('DELETE', `/v1/endpoints/${id}`, undefined, many);
  });

  test('cannot get a secret from an API without a key to encrypt it, which serves everything else', async () => {
    const { id } = await made();
    await withApi(engine, { env: { ENDPOINT_SECRET_KEY: '' } }, async () => {
      expectRefusal(await call('POST', '/v1/endpoints', { url: URL_OF_SHOP }), 501, 'not_configured');
      expectRefusal(await call('POST', `/v1/endpoints/${id}/rotate`, {}), 501, 'not_configured');
      expect((await call('PATCH', `/v1/endpoints/${id}`, { enabled: false })).body.state).toBe('off');
      expect(await listed()).toContain(id);
      expect((await call('DELETE', `/v1/endpoints/${id}`)).status).toBe(204);
    });
  });
});

describe('who manages it', () => {
  const everything = (id: string): readonly [string, string, unknown?][] => [
    ['GET', `/v1/endpoints/${id}`],
    ['PATCH', `/v1/endpoints/${id}`, { enabled: false }],
    ['POST', `/v1/endpoints/${id}/rotate`, {}],
    ['POST', `/v1/endpoints/${id}/redeliveries`, { since: '2026-01-01T00:00:00Z' }],
    ['GET', `/v1/endpoints/${id}/redeliveries/1`],
    ['GET', `/v1/deliveries?endpoint=${id}`],
    ['DELETE', `/v1/endpoints/${id}`],
  ];
  const looksGone = async (id: string, key: string) => {
    for (const [method, path, body] of everything(id)) {
      const answer = await call(method, path, body, key);
      expectRefusal(answer, 404, 'not_found');
      const nothing = await call(method, path.replace(id, 'ep_999999'), body, key);
      const { requestId, ...same } = nothing.body;
      expect(JSON.parse(answer.text.replaceAll(id, 'ep_999999'))).toEqual({
        ...same,
        requestId: answer.body.requestId,
      });
      expect(requestId).not.toBe(answer.body.requestId);
    }
    expect(await listed(key)).not.toContain(id);
  };

  test('every key of its name; to another name it looks as if it did not exist', async () => {
    const { id } = await made();
    await looksGone(id, keys.other);
    expect((await call('GET', `/v1/endpoints/${id}`)).body.state).toBe('on');
  });

  test('a key that is limited to wallets freezes its limit, and does not see an unlimited one', async () => {
    const unlimited = await made();
    await looksGone(unlimited.id, keys.limited);
    const mine = await made({}, keys.limited);
    expect(mine.wallets).toEqual(['wallet-1', 'wallet-2']);
    expect(await listed(keys.limited)).toEqual([mine.id]);
    const part = await keyOf('shop-2', ['wallet-1']);
    await looksGone(mine.id, part);
    // The unlimited key of the name manages it, and cannot widen it.
    expect((await call('PATCH', `/v1/endpoints/${mine.id}`, { types: ['case.opened'] })).body.wallets).toEqual(
      mine.wallets,
    );
  });

  test('a narrower key of the name does not see it', async () => {
    const wide = await keyOf('pair', ['wallet-1', 'wallet-2']);
    const narrow = await keyOf('pair', ['wallet-1']);
    const { id } = await made({}, wide);
    await looksGone(id, narrow);
  });
});

describe('deliveries', () => {
  const seller = keyOf('seller');

  test('are listed with their attempts and answers, for the owner of the endpoint alone', async () => {
    const key = await seller;
    const { id } = await made({ types: ['deposit.credited'] }, key);
    const n = await credited();
    expect(await deliveries(`endpoint=${id}&delivered=true`, key)).toEqual({ items: [], nextCursor: null });
    expect((await deliveries(`endpoint=${id}&delivered=false`, key)).items).toEqual([
      expect.objectContaining({ externalOrderNumber: n, type: 'deposit.credited', outcome: null, attempts: [] }),
    ]);
    await sent(200, 'thank you, hidden-answer');
    const [one] = (await deliveries(`endpoint=${id}&delivered=true&deposit=${n}`, key)).items;
    expect(one).toMatchObject({ endpoint: id, outcome: 'delivered', settledAt: expect.any(String) });
    expect(one.event).toBe(`evt_${n}_${one.sequence}`);
    expect(one.attempts).toEqual([
      {
        at: expect.any(String),
        redelivery: false,
        status: 200,
        fault: null,
        ms: 3,
        answer: 'thank you, hidden-answer',
      },
    ]);
    expect((await deliveries(`endpoint=${id}&delivered=false`, key)).items).toEqual([]);
    expect((await deliveries(`endpoint=${id}&deposit=nobody`, key)).items).toEqual([]);

    const evidence = await call('GET', `/v1/deposits/${n}/evidence`, undefined, keys.other);
    const shown = evidence.body.deliveries.filter((other: { endpoint: string }) => other.endpoint === id);
    const { externalOrderNumber: _, sequence: __, publishedAt: ___, attempts: ____, ...same } = one;
    expect(shown).toEqual([
      { ...same, attempts: [{ at: one.attempts[0].at, redelivery: false, status: 200, fault: null, ms: 3 }] },
    ]);
    expect(evidence.text).not.toContain('hidden-answer');
  });

  test('come in pages', async () => {
    const key = await seller;
    const { id } = await made({ types: ['deposit.credited'] }, key);
    const numbers = [await credited(), await credited(), await credited()];
    const pages: string[][] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: Answer['body'] = await deliveries(
        `endpoint=${id}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
        key,
      );
      pages.push(page.items.map((one: Answer['body']) => one.externalOrderNumber));
      cursor = page.nextCursor;
    }
    expect(pages).toEqual([numbers.slice(0, 2), numbers.slice(2)]);
  });

  test.each([
    ['', 'endpoint'],
    ['endpoint=3', 'endpoint'],
    ['endpoint=ep_0', 'endpoint'],
    ['endpoint=ep_1&delivered=no', 'delivered'],
    ['endpoint=ep_1&cursor=x', 'cursor'],
    ['endpoint=ep_1&foo=1', 'foo'],
  ])('are not listed for %s', async (query, field) => {
    const answer = await call('GET', `/v1/deliveries?${query}`);
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.errors[0].field).toBe(field);
  });

  test('are sent once more: one by the name of its event, or all since a time', async () => {
    const key = await keyOf('again');
    const { id } = await made({ types: ['deposit.credited'] }, key);
    const [first, second] = [await credited(), await credited()];
    await sent(200);
    const again = (body: object) => call('POST', `/v1/endpoints/${id}/redeliveries`, body, key);
    const [{ event, publishedAt }] = (await deliveries(`endpoint=${id}&deposit=${first}`, key)).items;

    const one = await again({ event });
    expect(one.status).toBe(202);
    expect(one.headers.get('location')).toBe(`/v1/endpoints/${id}/redeliveries/${one.body.id}`);
    expect(one.body).toMatchObject({ endpoint: id, askedBy: 'again', doneAt: null, doneUpTo: null, upTo: publishedAt });
    expect(await sent(200)).toContain(event);
    const done = () => call('GET', `/v1/endpoints/${id}/redeliveries/${one.body.id}`, undefined, key);
    expect((await done()).body.doneUpTo).toBe(publishedAt);
    const { attempts } = (await deliveries(`endpoint=${id}&deposit=${first}`, key)).items[0];
    expect(attempts.map((attempt: Answer['body']) => attempt.redelivery)).toEqual([false, true]);

    const all = await again({ since: '2026-01-01T00:00:00Z' });
    expect(all.status).toBe(202);
    const [{ publishedAt: last }] = (await deliveries(`endpoint=${id}&deposit=${second}`, key)).items;
    expect(all.body.upTo).toBe(last);

    expectRefusal(await again({ event: 'evt_nobody_1' }), 404, 'not_found');
    expectRefusal(await again({ event: event.replace(/_\d+$/, '_1') }), 404, 'not_found');
    expectRefusal(await again({ since: '2090-01-01T00:00:00Z' }), 404, 'not_found');
    for (const wrong of [{}, { event, since: '2026-01-01T00:00:00Z' }, { event: 'order-1' }, { since: 'yesterday' }])
      expectRefusal(await again(wrong), 400, 'invalid_request');
    expectRefusal(await call('GET', `/v1/endpoints/${id}/redeliveries/999`, undefined, key), 404, 'not_found');

    await call('PATCH', `/v1/endpoints/${id}`, { enabled: false }, key);
    for (let n = 0; n < 9; n += 1) await again({ event });
    expectRefusal(await again({ event }), 409, 'limit_reached');
  });
});

test('no secret and no address of an endpoint is in a log, an error, a list, or plain in the database', async () => {
  const told = memoryLog();
  const secrets: string[] = [];
  await withApi(engine, { log: told.log }, async () => {
    const { id, secret } = await made({}, keys.other);
    secrets.push(secret, (await call('POST', `/v1/endpoints/${id}/rotate`, {}, keys.other)).body.secret);
    const said = [
      (await call('GET', '/v1/endpoints', undefined, keys.other)).text,
      (await call('PATCH', `/v1/endpoints/${id}`, { enabled: true }, keys.other)).text,
      (await call('PATCH', `/v1/endpoints/${id}`, { url: `${URL_OF_SHOP}#` }, keys.other)).text,
      (await call('GET', `/v1/deliveries?endpoint=${id}`, undefined, keys.other)).text,
      await traces(engine, told.lines),
    ].join('\n');
    for (const one of secrets) {
      expect(said).not.toContain(one);
      expect(said).not.toContain(one.slice('whsec_'.length));
    }
  });
  expect(told.lines.join('\n')).not.toContain('hidden-word');
});
