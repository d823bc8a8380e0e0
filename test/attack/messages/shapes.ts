import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { AttackClass, Holdings } from '../ground/holdings.ts';
import type { Attempt } from '../ground/wire.ts';

type Reshape = (holdings: Holdings) => Partial<Attempt> | string | Uint8Array;

const DATA = /"data":\s*\{/;
const STAMP = /"timestamp":\s*(\d+)/;
const PRICE = /"paymentPrice":\s*([\d.]+)/;
const SIGNATURE = /"signature":\s*("(?:[^"\\]|\\.)*"|[^,]*)/;

const inData = (body: string, member: string) => body.replace(DATA, () => `"data":{${member},`);

/** A raw request; whatever follows it on the same connection hides behind it. */
const bareRequest = (path: string, headers: readonly string[], body: string) =>
  [`POST ${path} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', ...headers, '', body].join('\r\n');

/** Malformed messages, for every signer and every address. */
const REFUSED: Readonly<Record<string, readonly [rows: string, reshape: Reshape]>> = {
  'a key twice': ['T14', ({ base, random }) => inData(base.body, `"paymentPrice":${random.int(9) + 1}`)],
  'a key twice with one value': [
    'T14',
    ({ base, random }) => {
      const member = (random.pick([STAMP, PRICE, SIGNATURE]).exec(base.body) ?? ['"data":1'])[0];
      return base.body.replace('{', () => `{${member},${member},`);
    },
  ],
  'a key twice, once escaped': [
    'T14',
    ({ base, random }) =>
      random.pick([
        base.body.replace('{', String.raw`{"t\u0069mestamp":1,`),
        base.body.replace('{', String.raw`{"\u0073ignature":"",`),
        inData(base.body, String.raw`"transactionAm\u006funt":9`),
      ]),
  ],
  'a stamp in another spelling': [
    'T13',
    ({ base, random }) =>
      base.body.replace(STAMP, (_, digits: string) => {
        const spellings = [
          `${digits}.0`,
          `${digits}e0`,
          `${digits[0]}.${digits.slice(1)}e${digits.length - 1}`,
          `"${digits}"`,
          `[${digits}]`,
          `${digits}.000`,
          `${digits}0e-1`,
        ];
        return `"timestamp":${random.pick(spellings)}`;
      }),
  ],
  'a stamp that is no stamp': [
    'T13',
    ({ base, random }) =>
      base.body.replace(
        STAMP,
        `"timestamp":${random.pick(['0', '-1', '-0', '1e400', 'null', 'true', '{}', '1000000000000000', '00'])}`,
      ),
  ],
  'a signature in lower case': ['T13', ({ base }) => base.body.replace(SIGNATURE, (found) => found.toLowerCase())],
  'a signature in a list': ['T11', ({ base }) => base.body.replace(SIGNATURE, '"signature":[$1]')],
  'a signature with white space': [
    'T13',
    ({ base }) => base.body.replace(SIGNATURE, (found) => `${found.slice(0, -1)} "`),
  ],
  'the prototype': [
    'T15',
    ({ base, random }) =>
      random.pick([
        inData(base.body, '"__proto__":{"transactionAmount":1}'),
        inData(base.body, String.raw`"\u005f_proto__":null`),
        base.body.replace('{', '{"__proto__":{"polluted":true},'),
      ]),
  ],
  'what is not JSON': [
    'T14',
    ({ base, random }) =>
      random.pick([
        `/**/${base.body}`,
        `${base.body}//`,
        base.body.replaceAll('"', "'"),
        base.body.replace(/\}\s*$/, ',}'),
        base.body.replace(PRICE, '"paymentPrice":NaN'),
        base.body.replace(PRICE, '"paymentPrice":0$1'),
        base.body.replace(PRICE, '"paymentPrice":+$1'),
        base.body.replace(PRICE, '"paymentPrice":0x10'),
        base.body + base.body,
        `${base.body}\u0000`,
        base.body.slice(0, -1 - random.int(20)),
        `)]}',\n${base.body}`,
      ]),
  ],
  'two byte order marks': ['T14', ({ base }) => `\u{feff}\u{feff}${base.body}`],
  'not an object': [
    'T14',
    ({ base, random }) =>
      random.pick([`[${base.body}]`, JSON.stringify(base.body), 'null', '1', 'true', '', ' ', '{}', '[]']),
  ],
  'data that is none': [
    'T14',
    ({ base, random }) =>
      base.body.replace(/"data":\s*(\{.*\})\s*\}$/s, (_, data: string) =>
        random.pick([`"data":[${data}]}`, `"data":${JSON.stringify(data)}}`, '"data":null}', `"Data":${data}}`]),
      ),
  ],
  'bytes that are no UTF-8': [
    'T14',
    ({ base, random }) => {
      const bad = random.pick(['ff', 'c080', 'eda080', 'f8888080', '80', 'c1bf']);
      const [before, after] = inData(base.body, '"x":"|"').split('|') as [string, string];
      return Buffer.concat([Buffer.from(before), Buffer.from(bad, 'hex'), Buffer.from(after)]);
    },
  ],
  'a lone surrogate': [
    'T17',
    ({ base, random }) =>
      inData(base.body, `"x":"${random.pick([String.raw`\ud800`, String.raw`\udfff`, String.raw`\ude00\ud83d`])}"`),
  ],
  depth: [
    'T16',
    ({ base, random }) => {
      const deep = 17 + random.int(3_000);
      return inData(base.body, `"x":${'['.repeat(deep)}${']'.repeat(deep)}`);
    },
  ],
  'too much': ['T16', ({ base, random }) => base.body.padEnd(16_385 + random.int(30_000), ' ')],
  'an order number that is none': [
    'T17',
    ({ base, random }) =>
      base.body.replace(
        /"externalOrderNumber":\s*"([^"]*)"/,
        (_, n: string) =>
          `"externalOrderNumber":${random.pick([
            `"${n}\\u0000"`,
            `" ${n}"`,
            `"${n}\\n"`,
            `["${n}"]`,
            '1',
            'null',
            '""',
            `"${'x'.repeat(65)}"`,
            `"${n}\\u202e"`,
            `"${n}' or '1'='1"`,
            '"../x"',
            '"\uff41"',
          ])}`,
      ),
  ],
  'another content type': [
    'H',
    ({ base, random }) => ({
      body: base.body,
      headers: {
        'content-type': random.pick([
          'text/plain',
          'text/json',
          'application/vnd.api+json',
          'application/jsonx',
          'application/x-www-form-urlencoded',
          'multipart/form-data; boundary=x',
          'application/json, text/plain',
          '*/*',
          '',
        ]),
      },
    }),
  ],
  'another charset': [
    'H',
    ({ base, random }) => {
      const charset = random.pick(['utf-16le', 'utf-7', 'latin1', 'gbk', '', 'utf-8; charset=utf-16le']);
      const headers = { 'content-type': `application/json; charset=${charset}` };
      return { headers, body: charset === 'utf-16le' ? Buffer.from(base.body, 'utf16le') : base.body };
    },
  ],
  'a packed body': [
    'T16',
    ({ base, random }) => {
      const [name, pack] = random.pick([
        ['gzip', gzipSync],
        ['deflate', deflateSync],
        ['br', brotliCompressSync],
        ['gzip, gzip', gzipSync],
      ] as const);
      const content = random.int(8) === 0 ? Buffer.alloc(400_000) : Buffer.from(base.body);
      return { body: pack(content), headers: { 'content-encoding': name } };
    },
  ],
  'another method': [
    'H',
    ({ base, random }) => ({
      body: base.body,
      method: random.pick(['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE']),
      headers: { 'x-http-method-override': 'POST', 'x-method-override': 'POST' },
    }),
  ],
};

/** Unusual, but valid callbacks where token and signature are right. */
const HARMLESS: Readonly<Record<string, readonly [rows: string, reshape: Reshape]>> = {
  'unknown fields': [
    'T15',
    ({ base, random }) =>
      inData(
        base.body,
        random.pick([
          '"constructor":{"prototype":{"authorized":true}}',
          '"wallet":"thief","success":true',
          '"TransactionAmount":999999,"transactionamount":1',
          String.raw`"x":"\u0000\u202e${'\\r\\n'}{\"level\":50}"`,
        ]),
      ),
  ],
  'escaped keys': ['T14', ({ base }) => base.body.replace('"transactionCode"', String.raw`"transaction\u0043ode"`)],
  'a forwarded address or host': [
    'T20',
    ({ base, random }) => {
      const address = `127.0.0.${random.int(255)}`;
      return {
        body: base.body,
        headers: {
          'x-forwarded-for': address,
          'x-real-ip': address,
          forwarded: `for=${address};host=mtpay.example;proto=https`,
          'x-forwarded-host': 'mtpay.example',
          'x-original-url': '/healthz',
          'x-rewrite-url': '/healthz',
          host: random.pick(['mtpay.example', 'localhost', `127.0.0.1:${random.int(65_535)}`]),
        },
      };
    },
  ],
  'headers that claim more': [
    'T2',
    ({ base, ticket, random }) => ({
      body: base.body,
      headers: {
        signature: ticket.signature,
        timestamp: String(ticket.timestampMs),
        authorization: `Bearer ${ticket.signature}`,
        cookie: `token=${random.hex(16)}; admin=1`,
        'x-internal': 'true',
      },
    }),
  ],
  'an address in other clothes': [
    'H',
    ({ base, random }) => ({
      body: base.body,
      path: random.pick([
        `${base.path}?`,
        `${base.path}?kid=x&token=y`,
        `${base.path}/`,
        `${base.path}#x`,
        `/${base.path}`,
        base.path.replace('/v1/', '/V1/'),
        base.path.replace('/mtpay/', '/mtpay/./'),
        base.path.replaceAll('/', '//'),
        base.path.replace('mtpay', 'mtp%61y'),
        `${base.path};a=b`,
        `${base.path}.json`,
      ]),
    }),
  ],
  'SQL in every text': [
    'H',
    ({ base }) =>
      base.body.replaceAll(
        /"(transaction(?:Code|CreateTime)|paymentFinishedTime)":\s*"[^"]*"/g,
        `"$1":"'; drop table engine.callback; --"`,
      ),
  ],
  'text that deceives the eye': [
    'T17',
    ({ base, random }) =>
      base.body.replace(
        /"transactionCode":\s*"([^"]*)"/,
        `"transactionCode":"${random.pick(['\u202e', '\u200b', '\uff21', String.raw`\u0000`, 'A\u0301', String.raw`\r\nlevel=50`])}$1"`,
      ),
  ],
};

/** Bytes that are not quite HTTP; the callback is in them, or hides behind them. */
const BARE: Readonly<Record<string, readonly [rows: string, say: (holdings: Holdings) => string]>> = {
  'length and chunks at once': [
    'T21',
    ({ base }) =>
      `${bareRequest(base.path, ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n')}${bareRequest(
        base.path,
        [`Content-Length: ${Buffer.byteLength(base.body)}`, 'Connection: close'],
        base.body,
      )}`,
  ],
  'two lengths': [
    'T21',
    ({ base }) =>
      bareRequest(base.path, ['Content-Length: 1', `Content-Length: ${Buffer.byteLength(base.body)}`], base.body),
  ],
  'broken chunks': [
    'T21',
    ({ base, random }) =>
      bareRequest(
        base.path,
        ['Transfer-Encoding: chunked'],
        `${random.pick(['zz', '-1', 'ffffffffffffffff', '0x9'])}\r\n${base.body}\r\n0\r\n\r\n`,
      ),
  ],
  'a header of its own kind': [
    'T21',
    ({ base, random }) =>
      bareRequest(
        base.path,
        [random.pick(['Content-Length : 2', 'X: a\u0000b', ' X: y', 'X', 'Transfer-Encoding: chunked, identity'])],
        base.body,
      ),
  ],
  'headers without end': ['T16', ({ base }) => bareRequest(base.path, [`X: ${'y'.repeat(40_000)}`], base.body)],
  'half a message': [
    'T16',
    ({ base }) => bareRequest(base.path, ['Content-Length: 9000', 'Connection: close'], base.body.slice(0, 40)),
  ],
  'one letter at a time': ['T16', ({ base }) => bareRequest(base.path, ['X-Slow: '], '').slice(0, -6)],
};

const classOf = (name: string, [row, reshape]: readonly [string, Reshape], harmless: boolean): AttackClass => ({
  name,
  rows: [row],
  ...(harmless ? { harmless } : {}),
  forge: (holdings) => {
    const made = reshape(holdings);
    const { path } = holdings.base;
    if (typeof made === 'string' || made instanceof Uint8Array) return { path, body: made };
    return { path, body: holdings.base.body, ...made };
  },
});

export const SHAPE_CLASSES: readonly AttackClass[] = [
  ...Object.entries(REFUSED).map(([name, shape]) => classOf(name, shape, false)),
  ...Object.entries(HARMLESS).map(([name, shape]) => classOf(name, shape, true)),
  ...Object.entries(BARE).map(
    ([name, [row, say]]): AttackClass => ({
      name,
      rows: [row],
      few: true,
      forge: (holdings) => ({ path: '', body: '', wire: say(holdings) }),
    }),
  ),
];
