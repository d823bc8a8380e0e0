import { describe, expect, test } from 'vitest';
import { gzipSync } from 'node:zlib';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { expectRefusal, inbox, stored } from '../api/evidence.ts';
import { expectAck } from '../api/parts.ts';
import { talk } from '../api/talk.ts';
import { order, orderNumber, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { type Answer, startEngine } from '../support/engine.ts';

const engine = await startEngine();
const listeners = [
  { url: engine.api.apiUrl, path: '/v1/deposits' },
  { url: engine.api.callbackUrl, path: new URL(callbackAddress(engine, 'x')).pathname },
];
const key = await createApiKey(engine.db.owner, { name: 'slow', scopes: ['deposits:create'] });
/** From the first test to the last a client sends headers that do not end, and bodies that do not. */
const slow = Promise.all(
  listeners.flatMap(({ url, path }) => {
    const start = `POST ${path} HTTP/1.1\r\nHost: x\r\n`;
    const body = `Content-Type: application/json\r\nAuthorization: Bearer ${key}\r\nContent-Length: 900\r\n\r\n{"a":`;
    return [talk(url, [`${start}X-Slow: `]), talk(url, [start + body])];
  }),
);

async function expectNothingStored(asking: () => Promise<Answer>): Promise<Answer> {
  const before = await stored(engine);
  const answer = await asking();
  expect(await stored(engine)).toEqual(before);
  return answer;
}

/** Both listeners still serve. */
async function expectAtWork(): Promise<void> {
  const created = await engine.create();
  expect(created.status).toBe(201);
  const { externalOrderNumber } = created.body;
  const body = callbackBody(engine, paid(order({ externalOrderNumber })));
  expectAck(await engine.callback(callbackAddress(engine, externalOrderNumber), body));
  await engine.untilState(externalOrderNumber, 'CREDITED');
}

describe('a field of a create', () => {
  const TYPES: [string, unknown][] = [
    ['null', null],
    ['a number', 1],
    ['true', true],
    ['a list', ['x']],
    ['an object', { x: 1 }],
    ['an empty text', ''],
  ];
  const IDENTIFIERS = [
    'a b',
    'a/b',
    'a.b',
    "a'b",
    'a\u0000b',
    'ａ',
    'é',
    'a\n',
    ' a',
    'x'.repeat(65),
    'deposit:1',
    '../a',
    '%61',
  ];
  const AMOUNTS = [
    '0',
    '0.00',
    '-1',
    '+1',
    '1e3',
    '1e400',
    'NaN',
    'Infinity',
    '0x10',
    '01',
    '1.',
    '.5',
    ' 1',
    '1 ',
    '1,000',
    '1_000',
    '١',
    '１',
    '1\u0000',
    '1000000000000000',
    '0.000000001',
    '1'.repeat(5_000),
    `0.${'0'.repeat(60)}`,
  ];
  const NAMES = [
    '',
    ' ',
    '\u3000',
    'a\u0000b',
    'a\nb',
    'a\u001bb',
    'a\u007fb',
    'a\u0085b',
    'Li\u202eMing',
    'Li\u2066Ming',
    'Li\u200fMing',
    'Li\u061cMing',
    'Li\u2028Ming',
    'Li\u2029Ming',
    'x'.repeat(101),
  ];
  const wrong: [field: string, what: string, value: unknown][] = [
    ...[
      'externalOrderNumber',
      'wallet',
      'buyCoinMode',
      'mtcAmount',
      'currencyCode',
      'supportLanguage',
      'payerRealName',
    ].flatMap((field) =>
      [...TYPES, ['nothing', undefined] as [string, unknown]].map(([what, value]): [string, string, unknown] => [
        field,
        what,
        value,
      ]),
    ),
    ...['externalOrderNumber', 'wallet'].flatMap((field) =>
      IDENTIFIERS.map((value): [string, string, unknown] => [field, value, value]),
    ),
    ...AMOUNTS.map((value): [string, string, unknown] => ['mtcAmount', value, value]),
    ...NAMES.map((value): [string, string, unknown] => ['payerRealName', value, value]),
    ['buyCoinMode', 'lower case', 'mtcamount'],
    ['buyCoinMode', 'another word', 'constructor'],
    ['currencyCode', 'a currency we do not take', 'USD'],
    ['currencyCode', 'lower case', 'cny'],
    ['supportLanguage', 'another language', 'zh-CN'],
    ['totalPrice', 'the amount of the other mode', '1'],
    ['callbackUrl', 'T18: an address of the caller’s', 'http://169.254.169.254/'],
    ['state', 'a state', 'CREDITED'],
    ['constructor', 'T15: a name from the prototype', {}],
    ['toString', 'another', 'x'],
    ['MtcAmount', 'another case', '1'],
    ['mtcAmount ', 'a space at the end', '1'],
  ];
  const shown = (text: string) => JSON.stringify(text).slice(0, 40);

  test.each(wrong.map(([field, what, value]) => ({ field, what: shown(what), value })))(
    'T17: $field: $what is refused, the field is named, nothing is stored',
    async ({ field, value }) => {
      const answer = await expectNothingStored(() => engine.create({ [field]: value }));
      expectRefusal(answer, 400, 'invalid_request');
      const named = answer.body.errors.map((fault: { field: string }) => fault.field);
      expect(named).toContain(field);
      expect(answer.body.detail).toContain(field);
      expect(named.every((name: string) => [field, 'mtcAmount', 'totalPrice'].includes(name))).toBe(true);
    },
  );

  test.each(['36000.001', '0', '-1', '1000000000000000', '1e3', 36_000])(
    'totalPrice: %s is refused in its mode',
    async (totalPrice) => {
      const answer = await expectNothingStored(() =>
        engine.create({ buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice }),
      );
      expectRefusal(answer, 400, 'invalid_request');
      expect(answer.body.errors).toMatchObject([{ field: 'totalPrice' }]);
    },
  );

  test('everything wrong at once is told at once, and never the values', async () => {
    const answer = await expectNothingStored(() =>
      engine.call('POST', '/v1/deposits', {
        externalOrderNumber: 'leak me',
        wallet: 1,
        buyCoinMode: 'leak',
        x: 'leak',
        y: 'leak',
      }),
    );
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.errors.length).toBeGreaterThan(5);
    expect(answer.text).not.toContain('leak');
  });

  test.each([
    ['a name of many scripts', 'Nguyễn 王小明 O’Brien-Müller ﷺ'],
    ['an emoji of several parts', '👩‍👩‍👧'],
    ['a hundred letters', 'x'.repeat(100)],
    ['markup and quotes', `<script>alert(1)</script> "'; drop table engine.deposit; --`],
  ])('payerRealName: %s is a name, and is placed as it is', async (_, payerRealName) => {
    expect((await engine.create({ payerRealName })).status).toBe(201);
  });
});

describe('the body of a create', () => {
  const good = (change = {}) => JSON.stringify(engine.body(change));
  const post = (raw: string | Uint8Array, headers: Record<string, string> = {}) =>
    engine.call('POST', '/v1/deposits', undefined, { raw, headers });

  test.each<[string, () => string | Uint8Array]>([
    ['empty', () => ''],
    ['white space', () => ' \r\n'],
    ['no JSON', () => 'externalOrderNumber=1'],
    ['a list', () => `[${good()}]`],
    ['null', () => 'null'],
    ['a number', () => '1e400'],
    ['a text', () => '"x"'],
    ['cut off', () => good().slice(0, -1)],
    ['followed by rubbish', () => `${good()}x`],
    ['followed by another', () => good() + good()],
    ['followed by a NUL', () => `${good()}\u0000`],
    ['after a byte order mark', () => `\uFEFF${good()}`],
    ['in UTF-16', () => Buffer.from(good(), 'utf16le')],
    [
      'with a byte that is no UTF-8',
      () => Buffer.concat([Buffer.from(good().replace('}', ',"x":"')), Buffer.from([0xff]), Buffer.from('"}')]),
    ],
    [
      'with an overlong encoding',
      () => Buffer.concat([Buffer.from('{"wallet":"'), Buffer.from([0xc0, 0x80]), Buffer.from('"}')]),
    ],
    ['with a key twice', () => good().replace('{', '{"mtcAmount":"1",')],
    ['with a key twice and the same value', () => good().replace('{', '{"mtcAmount":"5000",')],
    ['with a key twice, spelled differently', () => good().replace('{', '{"mtc\\u0041mount":"5000",')],
    ['with __proto__', () => good().replace('{', '{"__proto__":{"wallet":"x"},')],
    ['with __proto__ in another spelling', () => good().replace('{', '{"\\u005f_proto__":{"wallet":"x"},')],
    ['with a lone surrogate', () => good().replace('Li Ming', '\\ud800')],
    ['with surrogates the wrong way round', () => good().replace('Li Ming', '\\ude00\\ud83d')],
    ['with a lone surrogate in a key', () => good().replace('{', '{"\\udfff":1,')],
    ['with a raw control character', () => good().replace('Li Ming', 'Li\tMing')],
    ['a thousand lists deep', () => good().replace('{', `{"x":${'['.repeat(1_000)}${']'.repeat(1_000)},`)],
    ['seven thousand objects deep', () => '{"a":'.repeat(2_700)],
    ['single-quoted', () => good().replaceAll('"', "'")],
    ['with a trailing comma', () => good().replace('}', ',}')],
    ['with a comment', () => good().replace('{', '{/**/')],
    ['with NaN', () => good().replace('"5000"', 'NaN')],
  ])('%s is refused with a reason, and nothing is stored', async (_, body) => {
    const answer = await expectNothingStored(() => post(body()));
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.detail.length).toBeGreaterThan(10);
  });

  test('an amount as a JSON number is told apart from a decimal text, whatever the number', async () => {
    for (const number of ['5000', '5000.0', '1e400', '-0', '0.1']) {
      const answer = await expectNothingStored(() => post(good().replace('"5000"', number)));
      expectRefusal(answer, 400, 'invalid_request');
      expect(answer.body.errors).toMatchObject([
        { field: 'mtcAmount', message: expect.stringContaining('decimal string') },
      ]);
    }
  });

  test.each([
    ['one byte over 16 kB', 16_385],
    ['five megabytes', 5_000_000],
  ])('of %s is too much', async (_, bytes) => {
    const answer = await expectNothingStored(() => post(good().padEnd(bytes, ' ')));
    expectRefusal(answer, 413, 'payload_too_large');
  });

  test('of exactly 16 kB is read', async () => {
    expect((await post(good().padEnd(16_384, ' '))).status).toBe(201);
  });

  test.each([
    'text/plain',
    'text/plain; application/json',
    'application/json; charset=utf-16le',
    'application/json; charset=latin1',
    'application/json; charset=',
    'application/json, text/plain',
    'application/problem+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=----x',
    '',
  ])('as "%s" is not read', async (type) => {
    const answer = await expectNothingStored(() => post(good(), { 'content-type': type }));
    expectRefusal(answer, 415, 'unsupported_media_type');
  });

  test('T16: packed is not unpacked, be it small or a bomb', async () => {
    for (const packed of [gzipSync(good()), gzipSync(Buffer.alloc(10_000_000))]) {
      const answer = await expectNothingStored(() => post(packed, { 'content-encoding': 'gzip' }));
      expectRefusal(answer, 415, 'unsupported_media_type');
    }
    expectRefusal(await post(gzipSync(good())), 400, 'invalid_request');
  });

  test('T15: no field reaches the prototype of anything', async () => {
    await post(good().replace('{', '{"constructor":{"prototype":{"polluted":true}},'));
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('an order number that means something elsewhere', () => {
  test.each(['__proto__', 'constructor', 'toString', 'null', 'undefined', 'NaN', '0', '-1', '_', '-', 'x'.repeat(64)])(
    '%s is a number like any other, from the create to the credit',
    async (name) => {
      const externalOrderNumber = name.length < 10 ? name : orderNumber().padEnd(64, '_');
      const created = await engine.create({ externalOrderNumber, wallet: name });
      expect(created).toMatchObject({ status: 201, body: { externalOrderNumber } });
      const body = callbackBody(engine, paid(order({ externalOrderNumber })));
      expectAck(await engine.callback(callbackAddress(engine, externalOrderNumber), body));
      await engine.untilState(externalOrderNumber, 'CREDITED');
      expect((await engine.call('GET', `/v1/wallets/${name}`)).body).toMatchObject({ wallet: name, balance: '5000' });
    },
  );
});

describe('a callback with more in it than we know', () => {
  test.each<[string, (body: string) => string]>([
    [
      'unknown fields of every type',
      (body) => body.replace('"data":{', '"data":{"a":null,"b":[1,{"c":true}],"d":1e400,"e":"\\u0000\\u202e",'),
    ],
    [
      'unknown fields outside the data',
      (body) => body.replace('{"signature"', '{"callbackUrl":"http://127.0.0.1/","state":"FAILED","signature"'),
    ],
    [
      'names from the prototype',
      (body) => body.replace('"data":{', '"data":{"constructor":{"prototype":{"a":1}},"hasOwnProperty":1,'),
    ],
    [
      'another state, wallet and amount',
      (body) => body.replace('"data":{', '"data":{"wallet":"thief","mtcAmount":999999,"success":false,'),
    ],
    [
      'names that differ in case only',
      (body) => body.replace('"data":{', '"data":{"TransactionAmount":1,"transactionamount":2,'),
    ],
    ['sixteen levels of it', (body) => body.replace('"data":{', `"data":{"x":${'['.repeat(14)}${']'.repeat(14)},`)],
  ])('%s is credited by the seven fields alone', async (_, grown) => {
    const { externalOrderNumber } = (await engine.create({ wallet: 'wallet-hostile' })).body;
    const data = paid(order({ externalOrderNumber }));
    const body = callbackBody(engine, data);
    expectAck(await engine.callback(callbackAddress(engine, externalOrderNumber), grown(body)));
    expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({
      creditedAmount: '5000',
      wallet: 'wallet-hostile',
    });
    expect(await inbox(engine, externalOrderNumber)).toMatchObject([{ data, receipt: 'first' }]);
    // The same without all that has the same content hash.
    expectAck(await engine.callback(callbackAddress(engine, externalOrderNumber), body));
    expect(await inbox(engine, externalOrderNumber)).toMatchObject([{ attempts: 2 }]);
  });

  test('a signature hidden in other texts of the message is not kept either', async () => {
    const { externalOrderNumber } = (await engine.create()).body;
    const body = callbackBody(engine, paid(order({ externalOrderNumber })));
    const signature = /[0-9A-F]{64}/.exec(body)![0];
    const spelled = `\\u00${signature.charCodeAt(0).toString(16)}${signature.slice(1)}`;
    const grown = body.replace(
      '"data":{',
      `"data":{"a":"sig=${signature};","c":"${signature.toLowerCase()}","${signature}":1,"b":["${spelled}"],`,
    );
    expectAck(await engine.callback(callbackAddress(engine, externalOrderNumber), grown));
    const [row] = await inbox(engine, externalOrderNumber);
    expect(row!.raw).toContain('"[signature]"');
    expect(row!.raw).not.toMatch(new RegExp(signature.slice(1), 'i'));
    await engine.untilState(externalOrderNumber, 'CREDITED');
  });
});

describe('what is not HTTP as we speak it', () => {
  const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
  const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));

  test.each<[string, (path: string) => string | Uint8Array, number[]]>([
    ['random bytes', () => Buffer.from('8f3a001bff00c3284e', 'hex'), [400]],
    ['the start of TLS', () => Buffer.from('16030100f1010000ed0303', 'hex'), [400]],
    ['a method nobody knows', (path) => `STEAL ${path} HTTP/1.1\r\nHost: x\r\n\r\n`, [400]],
    ['a version nobody knows', (path) => `GET ${path} HTTP/9.9\r\nHost: x\r\n\r\n`, [400]],
    [
      'T21: length and chunks at once',
      (path) =>
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${GET}`,
      [400],
    ],
    [
      'T21: two lengths',
      (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}`,
      [400],
    ],
    ['a negative length', (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}`, [400]],
    [
      'a length that is no number',
      (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}`,
      [400],
    ],
    [
      'chunks that are not last',
      (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
      [400],
    ],
    [
      'a chunk of no size',
      (path) =>
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n`,
      [400],
    ],
    [
      'a header with a space in its name',
      (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}`,
      [400],
    ],
    ['a header with a NUL', (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n`, [400]],
    ['a folded header', (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n`, [400]],
    [
      'headers without end',
      (path) => `POST ${path} HTTP/1.1\r\nHost: x\r\n${`X-Y: ${'z'.repeat(1_000)}\r\n`.repeat(100)}\r\n`,
      [431],
    ],
    ['an address without end', () => `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, [431]],
  ])('%s: is refused, the line is closed, and nothing that hides behind it is read', async (_, bytes, expected) => {
    for (const { url, path } of listeners) {
      const before = await stored(engine);
      expect(statuses(await talk(url, [bytes(path)]))).toEqual(expected);
      expect(await stored(engine)).toEqual(before);
      expect((await fetch(`${url}/healthz`)).status).toBe(url === engine.api.apiUrl ? 200 : 404);
    }
  });

  test('requests in one breath are answered one by one and in order', async () => {
    const requests = [
      GET,
      'DELETE /v1/deposits HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n',
      GET.replace('Host', 'Connection: close\r\nHost'),
    ];
    expect(statuses(await talk(engine.api.apiUrl, [requests.join('')]))).toEqual([200, 405, 404, 200]);
  });

  test('T20: a forwarded address, host or method changes nothing', async () => {
    for (const header of [
      'X-Forwarded-For',
      'X-Forwarded-Host',
      'X-Forwarded-Proto',
      'Forwarded',
      'X-HTTP-Method-Override',
      'X-Original-URL',
    ]) {
      const text = await talk(engine.api.apiUrl, [
        GET.replace('Host', `${header}: DELETE\r\nConnection: close\r\nHost`),
      ]);
      expect(statuses(text)).toEqual([200]);
    }
  });

  test('half a request whose sender goes away is forgotten', async () => {
    for (const { url, path } of listeners) {
      for (const half of [
        `POST ${path} HT`,
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"a":`,
      ]) {
        await talk(url, [half], { hangUp: true });
      }
    }
    await expectAtWork();
  });

  test('a thousand lines that say nothing keep nobody from being served', async () => {
    const { url } = listeners[1]!;
    const idle = Array.from({ length: 1_000 }, () => talk(url, [], { hangUp: false, withinMs: 500 }));
    await expectAtWork();
    await Promise.all(idle);
  });
});

test('T16: headers and bodies that never ended were given up by the server, and cost nobody else anything', async () => {
  for (const heard of await slow) expect(heard).toMatch(/^HTTP\/1\.1 408 /);
});

test('after all that the engine is at work and its books are whole', async () => {
  await expectAtWork();
  await engine.auditLedger();
});
