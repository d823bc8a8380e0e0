import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../config/keys/secret.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { expectRefusal, inbox, memoryLog, postings, stored, raised, timesRaised } from '../api/evidence.ts';
import { ask, expectAck, lineTo, loggedApi, reserved, withApi } from '../api/parts.ts';
import { order, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody, providerKey } from '../support/callbacks.ts';
import { type Answer, startEngine } from '../support/engine.ts';
import { cameEarlier } from '../support/seals.ts';
import { until } from '../support/until.ts';
import { talk } from '../api/talk.ts';
import { byHand } from '../support/database.ts';
import { reviewWorkflowId } from '../../domain/ids.ts';

const MINUTE = 60_000;
const engine = await startEngine();
/** No relay starts what a test has only reserved. */
const api = await loggedApi(engine, { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 3_600_000 });
const placed = async () => order({ externalOrderNumber: (await engine.create()).body.externalOrderNumber });
const deposit = await placed();
const other = await placed();
const address = callbackAddress(engine, deposit.externalOrderNumber);
const genuine = (at?: number) => callbackBody(engine, paid(deposit), at);

/** Refused with this status and code, and nothing is stored or counted. */
async function expectUntouched(asking: () => Promise<Answer>, status: number, code: string): Promise<Answer> {
  const before = await stored(engine);
  const answer = await asking();
  expectRefusal(answer, status, code);
  expect(await stored(engine)).toEqual(before);
  return answer;
}

/** Refused as above; its address and its signature are right, so that people are told, once. */
async function expectTold(asking: () => Promise<Answer>, status: number, code: string): Promise<Answer> {
  const before = timesRaised(api, 'callback_not_readable');
  const answer = await expectUntouched(asking, status, code);
  await until('the alarm', async () => timesRaised(api, 'callback_not_readable') > before);
  expect(timesRaised(api, 'callback_not_readable')).toBe(before + 1);
  return answer;
}
/** The last alarm of a kind, with what it proves. */
const lastAlarm = (alarm: string) => raised(api.log, api.lines).findLast((line) => line.alarm === alarm);

describe('what is not a callback', () => {
  test.each(['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s is refused, the answer names POST', async (method) => {
    const body = method === 'GET' ? {} : { body: genuine() };
    const headers = { 'content-type': 'application/json' };
    const answer = await expectTold(() => ask(address, { method, headers, ...body }), 405, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe('POST');
  });

  test.each(['/', '/v1/callbacks/mtpay', '/v1/callbacks/mtpay/kid', '/v1/deposits', '/healthz', '/readyz'])(
    'the public listener has nothing at %s',
    async (path) => {
      await expectTold(() => engine.callback(path, genuine()), 404, 'not_found');
      expectRefusal(await ask(`${engine.api.callbackUrl}${path}`, { method: 'GET' }), 404, 'not_found');
    },
  );

  test('at the private listener, where a proxy may lead it, is unknown, and people are told', async () => {
    await expectTold(
      () => engine.call('POST', new URL(address).pathname, JSON.parse(genuine()), { key: null }),
      404,
      'not_found',
    );
    expect(lastAlarm('callback_not_readable')).toMatchObject({
      proof: 'address and signature',
      code: 'private_listener',
    });
  });

  test.each([
    'text/plain',
    'application/json; charset=utf-16le',
    'application/json; charset=gbk',
    'application/json; charset=utf-8; charset=utf-16le',
    'application/jsonx',
    'application/vnd.api+json',
    'application/x-www-form-urlencoded',
    'text/json',
    'multipart/form-data; boundary=x',
    '',
  ])('content type "%s" is refused, and people are told', async (type) => {
    await expectTold(
      () => engine.callback(address, genuine(), { 'content-type': type }),
      415,
      'unsupported_media_type',
    );
  });

  test.each<[string, (body: string) => Uint8Array | string]>([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['x-gzip', gzipSync],
    ['gzip, identity', gzipSync],
    ['deflate', (body) => body],
    ['none', (body) => body],
  ])('content encoding %s is refused and not read as a callback, and people are told', async (encoding, pack) => {
    const send = () => engine.callback(address, pack(genuine()), { 'content-encoding': encoding });
    await expectTold(send, 415, 'unsupported_media_type');
    expect(lastAlarm('callback_not_readable')).toMatchObject({
      proof: 'address and signature',
      code: 'unsupported_media_type',
    });
  });

  test.each<[string, (body: string) => string]>([
    ['T16: one byte over 16 kB', (body) => body.padEnd(16_385, ' ')],
    ['a megabyte', (body) => body.padEnd(1_000_000, ' ')],
    ['a megabyte in one field', (body) => body.replace('"data":{', `"data":{"x":"${'x'.repeat(1_000_000)}",`)],
    ['a hundred thousand brackets', () => '['.repeat(100_000)],
  ])('%s is too much', async (_, grown) => {
    await expectTold(() => engine.callback(address, grown(genuine())), 413, 'payload_too_large');
  });

  test('16 kB in chunks of unknown length are too much as well', async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i += 1) controller.enqueue(Buffer.alloc(1_000, ' '));
        controller.close();
      },
    });
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' };
    await expectTold(() => ask(address, init as RequestInit), 413, 'payload_too_large');
  });

  test.each<[string, (body: string) => string | Uint8Array]>([
    ['nothing', () => ''],
    ['white space', () => '  \n'],
    ['no JSON', () => 'signature=1'],
    ['half of it', (body) => body.slice(0, -1)],
    ['a list', (body) => `[${body}]`],
    ['null', () => 'null'],
    ['a string', (body) => JSON.stringify(body)],
    ['two of them', (body) => body + body],
    ['two byte order marks', (body) => `\uFEFF\uFEFF${body}`],
    ['UTF-16', (body) => Buffer.from(`\uFEFF${body}`, 'utf16le')],
    [
      'bytes that are no UTF-8',
      (body) => Buffer.concat([Buffer.from(body.replace('}}', ',"x":"')), Buffer.from([0xff]), Buffer.from('"}}')]),
    ],
    ['a lone surrogate', (body) => body.replace('}}', ',"x":"\\ud800"}}')],
    ['a comment', (body) => `/**/${body}`],
    ['single quotes', (body) => body.replaceAll('"', "'")],
    ['T14: a key twice', (body) => body.replace('"data":{', '"data":{"paymentPrice":1,')],
    ['T14: a key twice, the same value', (body) => body.replace('"data":{', `"timestamp":${Date.now()},"data":{`)],
    [
      'T14: a key twice, spelled differently',
      (body) => body.replace('{"signature"', '{"t\\u0069mestamp":1,"signature"'),
    ],
    ['T15: __proto__', (body) => body.replace('"data":{', '"data":{"__proto__":{"a":1},')],
    ['depth', (body) => body.replace('"data":{', `"data":{"x":${'['.repeat(40)}${']'.repeat(40)},`)],
    ['NaN', (body) => body.replace(/"paymentPrice":\d+/, '"paymentPrice":NaN')],
    ['a leading zero', (body) => body.replace(/"paymentPrice":/, '"paymentPrice":0')],
    ['T11: no signature', (body) => body.replace('"signature"', '"x"')],
    ['T11: a signature of null', (body) => body.replace(/"[0-9A-F]{64}"/, 'null')],
    ['T11: a signature in a list', (body) => body.replace(/("[0-9A-F]{64}")/, '[$1]')],
    ['a signature that is a number', (body) => body.replace(/"[0-9A-F]{64}"/, '1')],
    ['a signature that is true', (body) => body.replace(/"[0-9A-F]{64}"/, 'true')],
    ['no timestamp', (body) => body.replace('"timestamp"', '"x"')],
    ['T13: a quoted timestamp', (body) => body.replace(/"timestamp":(\d+)/, '"timestamp":"$1"')],
    ['T13: a timestamp with decimals', (body) => body.replace(/("timestamp":\d+)/, '$1.0')],
    ['T13: a timestamp with an exponent', (body) => body.replace(/"timestamp":\d+/, '"timestamp":1.6e12')],
    ['a negative timestamp', (body) => body.replace('"timestamp":', '"timestamp":-')],
    ['a timestamp of 16 digits', (body) => body.replace(/("timestamp":\d+)/, '$1000')],
    ['no data', (body) => body.replace('"data"', '"x"')],
    ['data as text', (body) => body.replace(/"data":\{.*\}\}/, '"data":"{}"}')],
    ['data in a list', (body) => body.replace(/"data":(\{.*\})\}/, '"data":[$1]}')],
    ['no order number', (body) => body.replace('"externalOrderNumber"', '"x"')],
    [
      'an order number that is a number',
      (body) => body.replace(/"externalOrderNumber":"[^"]+"/, '"externalOrderNumber":1'),
    ],
    ['an empty order number', (body) => body.replace(/"externalOrderNumber":"[^"]+"/, '"externalOrderNumber":""')],
    ['T17: an order number with a NUL', (body) => body.replace(/("externalOrderNumber":"[^"]+)"/, '$1\\u0000"')],
    [
      'an order number that is a path',
      (body) => body.replace(/"externalOrderNumber":"[^"]+"/, '"externalOrderNumber":"../x"'),
    ],
    [
      'an order number that is too long',
      (body) => body.replace(/"externalOrderNumber":"[^"]+"/, `"externalOrderNumber":"${'x'.repeat(65)}"`),
    ],
  ])('%s is refused as no callback, in words that repeat none of it, and people are told', async (_, spoil) => {
    const body = genuine();
    const spoiled = spoil(body);
    expect(Buffer.from(spoiled).equals(Buffer.from(body))).toBe(false);
    const answer = await expectTold(() => engine.callback(address, spoiled), 400, 'invalid_request');
    expect(answer.text).not.toContain(deposit.externalOrderNumber);
    expect(answer.text).not.toContain(/[0-9A-F]{64}/.exec(body)![0]);
  });
});

describe('what is no callback and is recognised all the same', () => {
  const [kid, token] = address.split('/').slice(-2) as [string, string];
  const url = (path: string) => `${engine.api.callbackUrl}${path}`;
  const unsigned = () => genuine().replace(/[0-9A-F]{64}/, '0'.repeat(64));
  const n = deposit.externalOrderNumber;
  const stranger = `/v1/callbacks/mtpay/00000000/${randomBytes(32).toString('base64url')}`;

  test.each<[string, string, string, Record<string, string>, object]>([
    ['both', address, gzipped(), { 'content-encoding': 'gzip' }, { proof: 'address and signature', deposit: n }],
    ['the address', address, unsigned(), { 'content-type': 'text/plain' }, { proof: 'address', deposit: n }],
    ['the address with a slash', `${address}/`, unsigned(), {}, { proof: 'address', deposit: n }],
    ['the signature', url(stranger), genuine(), { 'content-type': 'text/plain' }, { proof: 'signature' }],
    ['the signature at no address', url('/'), genuine(), {}, { proof: 'signature' }],
    ['our key’s name', address, 'garbage', {}, { proof: 'key id' }],
    [
      'the address with a slash that is written as %2F',
      address.replace(/\/([^/]+)$/, '%2F$1'),
      unsigned(),
      {},
      { proof: 'address', deposit: n },
    ],
    [
      'the address in a question',
      url(`/?to=${encodeURIComponent(address)}`),
      unsigned(),
      {},
      { proof: 'address', deposit: n },
    ],
    [
      'our key’s name beside an unknown coding',
      address,
      'garbage',
      { 'content-encoding': 'zstd' },
      { proof: 'key id' },
    ],
  ])('by %s: an alarm says so and repeats nothing', async (_, to, body, headers, expected) => {
    const before = timesRaised(api, 'callback_not_readable');
    expect((await engine.callback(to, body, headers)).status).toBeGreaterThanOrEqual(400);
    await until('the alarm', async () => timesRaised(api, 'callback_not_readable') > before);
    const alarm = lastAlarm('callback_not_readable')!;
    expect(alarm).toMatchObject(expected);
    if (!('deposit' in expected)) expect(alarm).not.toHaveProperty('deposit');
    expect(JSON.stringify(alarm)).not.toMatch(/[0-9A-F]{64}|garbage/);
    expect(JSON.stringify(alarm)).not.toContain(token);
  });

  test('a stranger’s noise is none', async () => {
    const before = raised(api.log, api.lines).length;
    const strange = url(stranger);
    await engine.callback(strange, unsigned(), { 'content-type': 'text/plain' });
    await engine.callback(strange, randomBytes(1_000), { 'content-encoding': 'gzip' });
    await engine.callback(strange, '['.repeat(100_000));
    await engine.callback(`/x/${kid.slice(1)}/${token}`, 'x');
    await ask(strange, { method: 'GET' });
    await engine.callback(strange, unsigned());
    expect(raised(api.log, api.lines)).toHaveLength(before);
  });

  function gzipped() {
    return gzipSync(genuine()) as unknown as string;
  }
});

describe('what is not HTTP as Node reads it', () => {
  /** One packet, as bytes: the genuine callback of that order with these lines of a header, and its answer. */
  const send = (one: ReturnType<typeof order>, headers: readonly string[], body = callbackBody(engine, paid(one))) => {
    const { pathname, origin } = new URL(callbackAddress(engine, one.externalOrderNumber));
    const head = [`POST ${pathname} HTTP/1.1`, ...headers, `Content-Length: ${Buffer.byteLength(body)}`];
    return talk(origin, [[...head, 'Content-Type: application/json', 'Connection: close', '', body].join('\r\n')]);
  };

  test.each([
    ['an expectation of its own', ['Host: x', 'Expect: something-else']],
    ['no Host', []],
  ])('a callback with %s is read like any other', async (_, headers) => {
    const one = await placed();
    expect(await send(one, headers)).toMatch(/^HTTP\/1\.1 200 [^]*SUCCESS$/);
    await engine.untilState(one.externalOrderNumber, 'CREDITED');
  });

  test.each([
    ['headers of more than 8 kB', ['Host: x', `X-Trace: ${'t'.repeat(9_000)}`], 431, 'HPE_HEADER_OVERFLOW'],
    ['a header line with a stray byte', ['Host: x', 'X-Bad\u0001: 1'], 400, 'HPE_INVALID_HEADER_TOKEN'],
    ['chunks beside a length', ['Host: x', 'Transfer-Encoding: chunked'], 400, 'HPE_INVALID_CONTENT_LENGTH'],
  ])('a callback with %s is refused as before, and people are told', async (_, headers, status, code) => {
    const before = timesRaised(api, 'callback_not_readable');
    expect(await send(deposit, headers)).toBe(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`,
    );
    await until('the alarm', async () => timesRaised(api, 'callback_not_readable') > before);
    const proof = { proof: 'address and signature', deposit: deposit.externalOrderNumber };
    expect(lastAlarm('callback_not_readable')).toMatchObject({ ...proof, code });
  });

  const { pathname, origin } = new URL(address);
  const head = (method: string, more: readonly string[]) =>
    [`${method} ${pathname} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', ...more, '', ''].join('\r\n');
  const whole = { proof: 'address and signature', deposit: deposit.externalOrderNumber };
  const long = Array.from({ length: 10 }, (_, i) => `X-${i}: ${'t'.repeat(900)}`);
  test.each<[string, () => string[], object]>([
    [
      'a length that is one too many',
      () => [head('POST', ['Content-Length: 999']), genuine()],
      { ...whole, code: 'cut' },
    ],
    [
      'a last chunk that does not come',
      () => [head('POST', ['Transfer-Encoding: chunked']), `${genuine().length.toString(16)}\r\n`, genuine()],
      { ...whole, code: 'cut' },
    ],
    ['headers of more than 8 kB in pieces', () => head('POST', long).split(/(?<=\r\n)/), { proof: 'key id' }],
    ['a head that does not end', () => [head('POST', []).trim()], { proof: 'key id' }],
    ['the method CONNECT', () => [head('CONNECT', []) + genuine()], { ...whole, code: 'method_not_allowed' }],
  ])('a callback with %s never becomes a request, and people are told', async (_, say, proof) => {
    const before = timesRaised(api, 'callback_not_readable');
    await talk(origin, say(), { hangUp: true, pauseMs: 20 });
    await until('the alarm', async () => timesRaised(api, 'callback_not_readable') > before);
    expect(timesRaised(api, 'callback_not_readable')).toBe(before + 1);
    expect(lastAlarm('callback_not_readable')).toMatchObject(proof);
  });

  test('a stranger’s is none', async () => {
    const before = raised(api.log, api.lines).length;
    for (const bytes of [randomBytes(1_000), `\x16\x03\x01${'\0'.repeat(200)}`, 'GET /x HTTP/9.9\r\n\r\n']) {
      expect(await talk(origin, [bytes])).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(raised(api.log, api.lines)).toHaveLength(before);
  });
});

describe('what is odd and can be read', () => {
  test.each<[string, (body: string) => string, Record<string, string>]>([
    ['a byte order mark', (body) => `\uFEFF${body}`, {}],
    ['charset=utf8', (body) => body, { 'content-type': 'application/json;charset=utf8' }],
    ['charset=US-ASCII', (body) => body, { 'content-type': 'application/json; charset="US-ASCII"' }],
    ['a version', (body) => body, { 'content-type': 'application/json; v=1; charset=utf-8' }],
    ['a charset twice', (body) => body, { 'content-type': 'application/json; charset=utf-8; charset=UTF8' }],
    ['an empty parameter', (body) => body, { 'content-type': 'APPLICATION/JSON ;' }],
  ])('%s: it is a callback like any other', async (_, spell, headers) => {
    const one = await placed();
    const n = one.externalOrderNumber;
    expectAck(await engine.callback(callbackAddress(engine, n), spell(callbackBody(engine, paid(one))), headers));
    await engine.untilState(n, 'CREDITED');
    expect(await inbox(engine, n)).toMatchObject([{ receipt: 'first', attempts: 1 }]);
    expect(api.alarms(n)).toEqual([]);
  });
});

describe('what proves nothing', () => {
  const key = providerKey(engine);
  const [kid, token] = address.split('/').slice(-2) as [string, string];
  const at = (path: string) => `${engine.api.callbackUrl}/v1/callbacks/mtpay/${path}`;
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  /** The same 256 bits in another spelling: the last character of 43 carries two bits too many. */
  const respelled = token.slice(0, -1) + ALPHABET[ALPHABET.indexOf(token.at(-1)!) ^ 1];
  const resigned = (signature: string) => genuine().replace(/[0-9A-F]{64}/, signature);
  const strange = { accessKey: key.accessKey, secretKey: new Secret(randomBytes(32)) };

  const forgeries: [string, () => [url: string, body: string]][] = [
    ['T10: a token of nobody', () => [at(`${kid}/${randomBytes(32).toString('base64url')}`), genuine()]],
    ['T1: the token of another order', () => [callbackAddress(engine, other.externalOrderNumber), genuine()]],
    ['T1: the data of another order', () => [address, callbackBody(engine, paid(other))]],
    ['the token in another spelling', () => [at(`${kid}/${respelled}`), genuine()]],
    ['a token with padding', () => [at(`${kid}/${token}=`), genuine()]],
    ['a token that is cut', () => [at(`${kid}/${token.slice(0, -1)}`), genuine()]],
    ['a token that is long', () => [at(`${kid}/${'A'.repeat(5_000)}`), genuine()]],
    ['another key id', () => [at(`00000000/${token}`), genuine()]],
    ['a key id in upper case', () => [at(`${kid.toUpperCase()}x/${token}`), genuine()]],
    ['a signature of nobody', () => [address, resigned(randomBytes(32).toString('hex').toUpperCase())]],
    ['a signature by another key', () => [address, resigned(sign(strange, Date.now()))]],
    ['a signature of another moment', () => [address, resigned(sign(key, Date.now() - 5))]],
    ['T13: a signature in lower case', () => [address, genuine().replace(/[0-9A-F]{64}/, (hex) => hex.toLowerCase())]],
    ['T11: an empty signature', () => [address, resigned('')]],
    ['a signature with a space', () => [address, genuine().replace(/[0-9A-F]{64}/, '$& ')]],
    ['a signature that is cut', () => [address, genuine().replace(/[0-9A-F]{64}/, (hex) => hex.slice(1))]],
    ['a signature of 64 other characters', () => [address, resigned('Z'.repeat(64))]],
    ['sixteen minutes ahead', () => [address, genuine(Date.now() + 16 * MINUTE)]],
    ['a century ahead', () => [address, genuine(4_900_000_000_000)]],
    ['everything wrong', () => [at('x/y'), resigned('x')]],
    ['T10: an order nobody has, with the token of another', () => [address, callbackBody(engine, paid(order()))]],
  ];

  test.each(forgeries)('%s is refused, and nothing is stored', async (_, forge) => {
    const [url, body] = forge();
    const answer = await expectUntouched(() => engine.callback(url, body), 401, 'unauthorized');
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('T10, T12: all of it gets the same answer to the byte, headers included', async () => {
    const seen = new Set<string>();
    for (const [, forge] of forgeries) {
      const answer = await engine.callback(...forge());
      const headers = [...answer.headers].filter(([name]) => name !== 'date');
      seen.add(JSON.stringify([answer.status, headers, answer.text]));
    }
    expect([...seen]).toHaveLength(1);
  });

  test('a right address under a key that we do not know is the provider’s: an alarm of its own that names the deposit', async () => {
    const n = deposit.externalOrderNumber;
    const times = () => api.alarms(n).filter((alarm) => alarm === 'callback_right_address_unknown_key').length;
    const before = times();
    expectRefusal(await engine.callback(address, resigned(sign(strange, Date.now()))), 401, 'unauthorized');
    await until('the alarm', async () => times() > before);
    const all = () => timesRaised(api, 'callback_right_address_unknown_key');
    const others = all();
    await engine.callback(at(`${kid}/${respelled}`), resigned('0'.repeat(64)));
    await engine.callback(callbackAddress(engine, other.externalOrderNumber), resigned('0'.repeat(64)));
    expect(all()).toBe(others);
  });

  test('a stamp from too far ahead is refused and named, with how far', async () => {
    const n = deposit.externalOrderNumber;
    const times = () => api.alarms(n).filter((alarm) => alarm === 'callback_ahead').length;
    const before = times();
    expectRefusal(await engine.callback(address, genuine(Date.now() + 16 * MINUTE)), 401, 'unauthorized');
    await until('the alarm', async () => times() > before);
    expect(Math.abs(Number(lastAlarm('callback_ahead')!['aheadMs']) - 16 * MINUTE)).toBeLessThan(5_000);
  });

  test('a good signature at a wrong address raises an alarm of its own; a bad one raises none', async () => {
    const alarms = () => timesRaised(api, 'callback_good_signature_wrong_token');
    const before = alarms();
    await engine.callback(at(`${kid}/${respelled}`), resigned('0'.repeat(64)));
    expect(alarms()).toBe(before);
    await engine.callback(at(`${kid}/${respelled}`), genuine());
    expect(alarms()).toBe(before + 1);
    // Only claimed: whoever holds a signature can write any number beside it.
    const alarm = lastAlarm('callback_good_signature_wrong_token')!;
    expect(alarm).toMatchObject({ claimed: deposit.externalOrderNumber });
    expect(alarm).not.toHaveProperty('deposit');
  });
});

describe('after all that', () => {
  test('the genuine callback, 16 kB long and odd in every way that is allowed, is credited', async () => {
    const data = paid(deposit);
    const odd = callbackBody(engine, { ...data, 日本: '\u{1f600}', constructor: 'x', toString: 'y' });
    const body = odd + ' '.repeat(16_384 - Buffer.byteLength(odd));
    expectAck(await engine.callback(address, body, { 'content-type': 'Application/JSON;charset="UTF-8"' }));
    expect(await engine.untilState(deposit.externalOrderNumber, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
    expect(await inbox(engine, deposit.externalOrderNumber)).toMatchObject([{ data, attempts: 1, receipt: 'first' }]);
  });

  test('the acknowledgement in its JSON form is these bytes as application/json', async () => {
    await withApi(engine, { env: { MTPAY_ACK: 'json:{"success":true}' } }, async () => {
      const url = callbackAddress(engine, other.externalOrderNumber);
      const body = callbackBody(engine, paid(other));
      expectAck(await engine.callback(url, body), '{"success":true}', 'application/json');
      expectAck(await engine.callback(url, body), '{"success":true}', 'application/json');
    });
    await engine.untilState(other.externalOrderNumber, 'CREDITED');
  });
});

describe('without the database', () => {
  test('an authentic callback is refused as unavailable with nothing lost or kept, a forged one as forged', async () => {
    const one = await placed();
    const url = new URL(engine.env['DATABASE_URL_API']!);
    const line = await lineTo({ host: url.hostname, port: Number(url.port) });
    url.port = String(line.port);
    const cutOff = memoryLog();
    await withApi(engine, { env: { DATABASE_URL_API: url.href }, log: cutOff.log }, async () => {
      const to = callbackAddress(engine, one.externalOrderNumber);
      const data = paid(one);
      await line.cut();
      const refused = await expectUntouched(() => engine.callback(to, callbackBody(engine, data)), 503, 'unavailable');
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(cutOff.alarms(one.externalOrderNumber)).toEqual(['callback_not_stored']);
      const forged = callbackBody(engine, data).replace(/[0-9A-F]{64}/, '0'.repeat(64));
      await expectUntouched(() => engine.callback(to, forged), 401, 'unauthorized');
      await line.mend();
      expectAck(await engine.callback(to, callbackBody(engine, data)));
    });
    await line.cut();
    await engine.untilState(one.externalOrderNumber, 'CREDITED');
    expect(await inbox(engine, one.externalOrderNumber)).toMatchObject([{ receipt: 'first', attempts: 1 }]);
  });
});

describe('an order nobody here has heard of', () => {
  const claim = (unknown: ReturnType<typeof order>, data = paid(unknown)) =>
    engine.callback(callbackAddress(engine, unknown.externalOrderNumber), callbackBody(engine, data));

  test('T24: is kept and refused at first, and given to people when nobody has found it for six hours', async () => {
    const unknown = order();
    const n = unknown.externalOrderNumber;
    const data = paid(unknown);
    const refused = await claim(unknown, data);
    expectRefusal(refused, 503, 'unavailable');
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expectRefusal(await claim(unknown, data), 503, 'unavailable');
    const row = { deposit: null, code: data.transactionCode, data, receipt: 'unknown_order', reason: 'UNKNOWN_ORDER' };
    expect(await inbox(engine, n)).toMatchObject([{ ...row, attempts: 2, acked: false, outcome: null }]);
    expect(api.alarms(n)).toEqual(['callback_unknown_order', 'callback_unknown_order']);

    const age = (hours: string) =>
      byHand(
        engine.db.owner,
        'update engine.callback set received_at = clock_timestamp() - $2::interval where external_order_number = $1',
        [n, hours],
      );
    await age('5 hours 58 minutes');
    expectRefusal(await claim(unknown, data), 503, 'unavailable');
    await age('6 hours 2 minutes');
    expectAck(await claim(unknown, data));
    const [kept] = await until('the review', async () => {
      const rows = await inbox(engine, n);
      return rows[0]!.outcome !== null && rows;
    });
    expect(kept).toMatchObject({ ...row, attempts: 4, acked: true, outcome: `review:${reviewWorkflowId(kept!)}` });
    const described = await engine.client.workflow.getHandle(reviewWorkflowId(kept!)).describe();
    expect(described).toMatchObject({
      status: { name: 'RUNNING' },
      searchAttributes: { ReviewReason: ['UNKNOWN_ORDER'] },
    });
    expectAck(await claim(unknown, data));
    expect(await postings(engine, n)).toEqual([]);
  });

  test('that becomes known meanwhile is credited by the retry', async () => {
    const body = engine.body();
    const late = order({ externalOrderNumber: String(body['externalOrderNumber']) });
    const data = paid(late);
    expectRefusal(await claim(late, data), 503, 'unavailable');
    expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(201);
    expectAck(await claim(late, data));
    await engine.untilState(late.externalOrderNumber, 'CREDITED');
    expect(await inbox(engine, late.externalOrderNumber)).toMatchObject([
      { deposit: late.externalOrderNumber, receipt: 'first', reason: null, attempts: 2, acked: true },
    ]);
    expect(await postings(engine, late.externalOrderNumber)).toEqual(['5000']);
  });

  test('that becomes known without its order having been sent goes to people', async () => {
    const late = order();
    const data = paid(late);
    expectRefusal(await claim(late, data), 503, 'unavailable');
    await reserved(engine, late);
    expectAck(await claim(late, data));
    expect(await inbox(engine, late.externalOrderNumber)).toMatchObject([
      { receipt: 'stale', reason: 'STAMP_BEFORE_ORDER' },
    ]);
  });

  test('T16: is kept in twenty contents; further ones are counted and stay refused, even when the others are taken', async () => {
    const unknown = order();
    const n = unknown.externalOrderNumber;
    for (let i = 0; i < 23; i += 1) expectRefusal(await claim(unknown, paid(unknown)), 503, 'unavailable');
    expect((await inbox(engine, n)).map((row) => row.attempts)).toEqual([...Array.from({ length: 19 }, () => 1), 4]);
    expect(api.alarms(n).filter((alarm) => alarm === 'callback_flood')).toHaveLength(3);
    await cameEarlier(engine.db.owner, n, 7 * 3_600_000);
    expectRefusal(await claim(unknown), 503, 'unavailable');
    const [kept] = await inbox(engine, n);
    expectAck(await claim(unknown, kept!.data as unknown as ReturnType<typeof paid>));
    expect(await inbox(engine, n)).toHaveLength(20);
  });

  test('T23: twenty times at once is kept once and counted twenty times', async () => {
    const unknown = order();
    const data = paid(unknown);
    const answers = await Promise.all(Array.from({ length: 20 }, () => claim(unknown, data)));
    for (const answer of answers) expectRefusal(answer, 503, 'unavailable');
    expect(await inbox(engine, unknown.externalOrderNumber)).toMatchObject([{ attempts: 20, acked: false }]);
  });
});
