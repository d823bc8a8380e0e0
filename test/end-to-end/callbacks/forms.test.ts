import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Order } from '../../../domain/order.ts';
import { expectRefusal, inbox, raised, timesRaised } from '../../api/evidence.ts';
import { ask, expectAck } from '../../api/parts.ts';
import { talk } from '../../api/talk.ts';
import { paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const { engine, api, placed, say, expectTold, expectCredited, lastAlarm } = await startReceiving();
const deposit = await placed();
const address = callbackAddress(engine, deposit.externalOrderNumber);
const genuine = () => callbackBody(engine, paid(deposit));

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
  const send = (one: Order, headers: readonly string[], body = callbackBody(engine, paid(one))) => {
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

test('after all that the genuine callback is credited, and nothing else was kept', async () => {
  const data = paid(deposit);
  expectAck(await say(data));
  await expectCredited(deposit, data.transactionCode);
  expect(await inbox(engine, deposit.externalOrderNumber)).toMatchObject([{ data, attempts: 1, receipt: 'first' }]);
});
