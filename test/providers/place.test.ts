import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { REFUSALS } from '../../providers/mtpay/codes.ts';
import { createPlacement, type MtpayOptions } from '../../providers/mtpay/place.ts';
import type { CallOptions, PlacementOutcome, PlacementRequest } from '../../providers/port.ts';
import { isSignedBy } from '../../providers/mtpay/signature.ts';
import { makeCertificate } from '../../sandbox/certificate.ts';
import { documentKey } from './keys.ts';
import { type Answer, babbler, closedPort, http, openProxy, standIn } from './stand-in.ts';

const NAME = '王小明';
const AT = 1_625_546_438_154;
/** docs/reference/protocol.md#signature-both-directions. */
const SIGNATURE = 'EDB15CF33C232128BDF118CEB147C453181939F8B37EC43886F68B3BCC2C19CD';
const PATH = '/api/buy-coin/transaction';

const request = (change: Partial<PlacementRequest> = {}): PlacementRequest => ({
  externalOrderNumber: 'o-42',
  buyCoinMode: 'MtcAmount',
  amount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'zh_CN',
  payerRealName: NAME,
  callbackUrl: 'https://pay.example/v1/callbacks/mtpay/kid/token',
  ...change,
});

const options = (host: string, change: Partial<MtpayOptions> = {}): MtpayOptions => ({
  keys: fixedKeyring(documentKey),
  placeUrl: `http://${host}${PATH}`,
  redirectHosts: [host, 'checkout.example'],
  plainHttpHosts: ['localhost'],
  ...change,
});

const place = (to: MtpayOptions, order = request(), call: Partial<CallOptions> = {}) =>
  createPlacement(to)
    .prepare(order, AT)
    .send({ deadlineMs: 10_000, maySend: () => true, ...call });

/** Places once against a stand-in that answers so; it is called once and never again. */
async function placedAgainst(answer: Answer, change: Partial<MtpayOptions> = {}, call: Partial<CallOptions> = {}) {
  const provider = await standIn(answer);
  const result = await place(options(provider.host, change), request(), call);
  expect(provider.received).toHaveLength(1);
  expect(provider.connections()).toBe(1);
  return result;
}

const says =
  (text: string): Answer =>
  (socket) =>
    socket.end(text);
const envelope = (change: object = {}, data: object | null = null) =>
  JSON.stringify({ data, statusCode: 'SUCCESS', message: 'ok', success: true, ...change });
const DATA = { redirectUrl: 'https://checkout.example/pay/1', advertisementCode: 'AD-1', currentTimestamp: AT };
const SUCCESS = envelope({}, DATA);
const refusal = (statusCode: string, change: object = {}) => envelope({ statusCode, success: false, ...change });

describe('the request', () => {
  it.each([
    ['mtcAmount', request({ amount: '5000' }), '"mtcAmount":5000'],
    ['mtcAmount', request({ amount: '0.00000001' }), '"mtcAmount":0.00000001'],
    ['mtcAmount', request({ amount: '999999999999999.99999999' }), '"mtcAmount":999999999999999.99999999'],
    ['totalPrice', request({ buyCoinMode: 'PaymentPrice', amount: '32551.2' }), '"totalPrice":32551.2'],
    ['totalPrice', request({ buyCoinMode: 'PaymentPrice', amount: '0.01', currencyCode: 'TWD' }), '"totalPrice":0.01'],
  ])("is the document's, with a %s written digit by digit: %#", async (field, order, digits) => {
    const provider = await standIn(says(http(200, SUCCESS)));
    await place(options(provider.host), order);
    expect(provider.received).toHaveLength(1);
    const { line, headers, body } = provider.received[0]!;
    expect(line).toBe(`POST ${PATH} HTTP/1.1`);
    expect(headers).toEqual({
      host: provider.host,
      'content-type': 'application/json',
      accept: 'application/json',
      access_key: 'B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R',
      timestamp: `${AT}`,
      signature: SIGNATURE,
      'content-length': `${Buffer.byteLength(body)}`,
      connection: 'close',
    });
    expect(body).toMatch(new RegExp(`${digits.replace('.', '\\.')}[,}]`));
    const { amount: _, ...others } = order;
    const { [field]: amount, ...rest } = JSON.parse(body) as Record<string, unknown>;
    expect(rest).toEqual(others);
    expect(typeof amount).toBe('number');
  });

  it('is signed for the moment it is told', async () => {
    const provider = await standIn(says(http(200, SUCCESS)));
    await createPlacement(options(provider.host))
      .prepare(request(), 1_700_000_000_001)
      .send({ deadlineMs: 10_000, maySend: () => true });
    const { access_key: accessKey, timestamp, signature } = provider.received[0]!.headers;
    expect(timestamp).toBe('1700000000001');
    expect(isSignedBy(documentKey, 1_700_000_000_001, signature!)).toBe(true);
    const mac = createHmac('sha256', documentKey.secretKey.reveal()).update(`${accessKey}_${timestamp}`);
    expect(signature).toBe(mac.digest('hex').toUpperCase());
  });

  it('carries a name with quotes and line ends as one text', async () => {
    const provider = await standIn(says(http(200, SUCCESS)));
    const payerRealName = '"},"mtcAmount":1,\\\n\u2028';
    await place(options(provider.host), request({ payerRealName }));
    expect(JSON.parse(provider.received[0]!.body)).toMatchObject({ payerRealName, mtcAmount: 5000 });
  });
});

describe('an order that was placed', () => {
  it("is answered with link, advertisement and the provider's time", async () => {
    expect(await placedAgainst(says(http(200, SUCCESS)))).toEqual({
      kind: 'placed',
      redirectUrl: 'https://checkout.example/pay/1',
      advertisementCode: 'AD-1',
      providerTimeMs: AT,
    });
  });

  it('is placed all the same when the answer comes in pieces, or without a length', async () => {
    const text = http(200, SUCCESS);
    const inPieces: Answer = (socket) => {
      socket.setNoDelay();
      const pieces = text.match(/.{1,40}/gs) ?? [];
      const next = () => {
        const piece = pieces.shift();
        if (piece === undefined) socket.end();
        else socket.write(piece, () => setImmediate(next));
      };
      next();
    };
    expect(await placedAgainst(inPieces)).toMatchObject({ kind: 'placed' });
    const chunked = `HTTP/1.1 201 Said\r\ntransfer-encoding: chunked\r\n\r\n${SUCCESS.length.toString(16)}\r\n${SUCCESS}\r\n0\r\n\r\n`;
    expect(await placedAgainst(says(chunked))).toMatchObject({ kind: 'placed' });
    expect(await placedAgainst(says(`HTTP/1.0 200 Said\r\n\r\n${SUCCESS}`))).toMatchObject({ kind: 'placed' });
  });

  it.each(['1.625546438154E12', '1625546438154e0', '1625546438154'])(
    'is placed with the time %s to learn from, however it is spelled',
    async (written) => {
      const text = envelope({}, { ...DATA, currentTimestamp: 7 }).replace(':7', `:${written}`);
      expect(text).toContain(written);
      const answer = await placedAgainst(says(http(200, text)));
      expect(answer).toMatchObject({ kind: 'placed', providerTimeMs: 1_625_546_438_154 });
    },
  );

  it.each([
    ['none', undefined],
    ['null', null],
    ['a text', `${AT}`],
    ['zero', 0],
    ['negative', -1],
    ['a fraction', 1.5],
    ['beyond reason', 1e20],
  ])('is placed without a time to learn from: %s', async (_, currentTimestamp) => {
    const answer = await placedAgainst(says(http(200, envelope({}, { ...DATA, currentTimestamp }))));
    expect(answer).toMatchObject({ kind: 'placed', providerTimeMs: null });
  });
});

describe('a statusCode', () => {
  it.each(Object.keys(REFUSALS).flatMap((code) => [200, 400, 401].map((status) => ({ code, status }))))(
    '$code with HTTP $status refuses: surely no order, and not to be tried again',
    async ({ code, status }) => {
      const answer = await placedAgainst(says(http(status, refusal(code, { message: 'because' }))));
      expect(answer).toEqual({ kind: 'refused', code, message: 'because' });
    },
  );

  it('TIMESTAMP_ERROR was surely not placed, and tells the clock to learn from', async () => {
    const date = 'Sun, 01 Mar 2026 12:00:00 GMT';
    expect(await placedAgainst(says(http(200, refusal('TIMESTAMP_ERROR'), { date })))).toEqual({
      kind: 'not_sent',
      cause: 'TIMESTAMP_ERROR',
      clock: { providerTimeMs: Date.parse(date) },
    });
    for (const headers of [{}, { date: 'soon' }] as Record<string, string>[]) {
      expect(await placedAgainst(says(http(200, refusal('TIMESTAMP_ERROR'), headers)))).toMatchObject({
        clock: { providerTimeMs: null },
      });
    }
  });

  it('SYSTEM_ERROR leaves unknown whether there is an order', async () => {
    expect(await placedAgainst(says(http(200, refusal('SYSTEM_ERROR'))))).toEqual({
      kind: 'unknown',
      cause: 'SYSTEM_ERROR',
    });
  });

  it.each(['', 'success', 'PARAMETER_ERROR ', 'parameter_error', 'OTHER', 'toString', null, 7, ['PARAMETER_ERROR']])(
    '%j is in no document and leaves it unknown',
    async (statusCode) => {
      const answer = await placedAgainst(says(http(200, envelope({ statusCode, success: false }))));
      expect(answer).toEqual({ kind: 'unknown', cause: 'unknown statusCode' });
    },
  );
});

describe('an answer that contradicts itself leaves it unknown', () => {
  it.each([
    ['SUCCESS without success', http(200, envelope({ success: false }, DATA))],
    ['SUCCESS with another truth', http(200, envelope({ success: 'true' }, DATA))],
    ['SUCCESS and no word of success', http(200, envelope({ success: undefined }, DATA))],
    ['a refusal with success', http(200, refusal('PARAMETER_ERROR', { success: true }))],
    ['a refusal and no word of success', http(200, refusal('PARAMETER_ERROR', { success: undefined }))],
    ['a refusal with another falsehood', http(200, refusal('PARAMETER_ERROR', { success: 'false' }))],
    ['a refused timestamp with success', http(200, refusal('TIMESTAMP_ERROR', { success: true }))],
    ['a refused timestamp and no word of success', http(200, refusal('TIMESTAMP_ERROR', { success: undefined }))],
    ['success with HTTP 400', http(400, SUCCESS)],
    ['success with HTTP 500', http(500, SUCCESS)],
    ['a refusal with HTTP 500', http(500, refusal('PARAMETER_ERROR'))],
    ['a refused timestamp with HTTP 503', http(503, refusal('TIMESTAMP_ERROR'))],
    ['success that redirects', http(302, SUCCESS, { location: 'https://checkout.example/' })],
    ['two status codes', http(200, SUCCESS.replace('{', '{"statusCode":"PARAMETER_ERROR",'))],
    ['data that is null', http(200, envelope())],
    ['data that is a list', http(200, JSON.stringify({ ...JSON.parse(SUCCESS), data: [DATA] }))],
    ['no link', http(200, envelope({}, { ...DATA, redirectUrl: undefined }))],
    ['a link that is an object', http(200, envelope({}, { ...DATA, redirectUrl: { href: DATA.redirectUrl } }))],
    ['no advertisement', http(200, envelope({}, { ...DATA, advertisementCode: undefined }))],
    ['an advertisement without end', http(200, envelope({}, { ...DATA, advertisementCode: 'A'.repeat(201) }))],
  ])('%s', async (_, text) => {
    expect(await placedAgainst(says(text))).toMatchObject({ kind: 'unknown' });
  });
});

it.each([
  ['contradictory answer', http(200, envelope({ success: 'true' }, DATA))],
  ['contradictory answer', http(300, SUCCESS)],
  ['contradictory answer', http(200, envelope({ statusCode: 'OTHER' }, DATA))],
  ['answer without data', http(200, envelope())],
  ['answer without checkout link', http(200, envelope({}, { ...DATA, redirectUrl: 7 }))],
  ['answer without checkout link', http(200, envelope({}, { ...DATA, advertisementCode: 7 }))],
  ['HTTP 200', http(200, '[]')],
  ['HTTP 500', http(500, SUCCESS)],
])('what is unknown has a cause for people: %s %#', async (cause, text) => {
  expect(await placedAgainst(says(text))).toEqual({ kind: 'unknown', cause });
});

it('an advertisement of 200 characters is the longest', async () => {
  const advertisementCode = 'A'.repeat(200);
  expect(await placedAgainst(says(http(200, envelope({}, { ...DATA, advertisementCode }))))).toMatchObject({
    kind: 'placed',
    advertisementCode,
  });
});

it('an order is prepared with the name of the key that signs it, and a code means what the provider says', () => {
  const port = createPlacement(options('localhost'));
  expect(port.prepare(request(), AT).keyId).toBe('1d771d828bb2');
  expect(port.causeOf('TIMESTAMP_ERROR')).toBe('clock');
});

describe('an answer that is none leaves it unknown', () => {
  const html = '<html><body>Bad gateway</body></html>';
  it.each<[string, string]>([
    ['HTML with HTTP 200', http(200, html, { 'content-type': 'text/html' })],
    ['HTML with HTTP 400', http(400, html, { 'content-type': 'text/html' })],
    ['HTML with HTTP 502', http(502, html, { 'content-type': 'text/html' })],
    ['nothing', http(200, '')],
    ['no content', 'HTTP/1.1 204 Said\r\n\r\n'],
    ['a refusal to answer', http(429, '', { 'retry-after': 1 })],
    ['not found', http(404, '{"error":"not found"}')],
    ['other JSON', http(200, '{"ok":true}')],
    ['a JSON text', http(200, '"SUCCESS"')],
    ['a JSON list', http(200, `[${SUCCESS}]`)],
    ['null', http(200, 'null')],
    ['truncated JSON', http(200, SUCCESS.slice(0, -2))],
    ['two byte order marks', http(200, `\ufeff\ufeff${SUCCESS}`)],
    ['a deep one', http(200, '['.repeat(20_000))],
    ['compressed', http(200, '\x1f\x8b\x08', { 'content-encoding': 'gzip' })],
    ['a huge one', http(200, `${SUCCESS}${' '.repeat(70_000)}`)],
    ['fewer bytes than announced', http(200, SUCCESS, { 'content-length': 10_000 })],
    ['fewer bytes than needed', http(200, SUCCESS, { 'content-length': 10 })],
    [
      'a chunk without end',
      `HTTP/1.1 200 Said\r\ntransfer-encoding: chunked\r\n\r\n${SUCCESS.length.toString(16)}\r\n${SUCCESS}`,
    ],
    ['a chunk of no length', 'HTTP/1.1 200 Said\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['not HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['half a header', 'HTTP/1.1 200 Said\r\ncontent-le'],
    ['a header without end', `HTTP/1.1 200 Said\r\nx: ${'x'.repeat(40_000)}\r\n\r\n`],
    ['the connection cut', ''],
  ])('%s', async (_, text) => {
    expect(await placedAgainst(says(text))).toMatchObject({ kind: 'unknown' });
  });

  it('the connection reset before an answer', async () => {
    expect(await placedAgainst((socket) => socket.resetAndDestroy())).toEqual({ kind: 'unknown', cause: 'ECONNRESET' });
  });

  it('the connection reset in the middle of the body', async () => {
    const half: Answer = (socket) => {
      socket.write(http(200, SUCCESS).slice(0, -20), () => setTimeout(() => socket.resetAndDestroy(), 50));
    };
    expect(await placedAgainst(half)).toMatchObject({ kind: 'unknown' });
  });

  it('a body without end', async () => {
    const endless: Answer = (socket) => {
      socket.write('HTTP/1.1 200 Said\r\n\r\n');
      const more = () => {
        if (!socket.destroyed) socket.write(' '.repeat(16_384), () => setImmediate(more));
      };
      more();
    };
    expect(await placedAgainst(endless)).toMatchObject({ kind: 'unknown' });
  });

  it('none by the deadline, be it silence, half an answer or one byte at a time', async () => {
    const byteByByte: Answer = (socket) => {
      const bytes = http(200, SUCCESS).split('');
      const next = () => {
        if (socket.destroyed || bytes.length === 0) return;
        socket.write(bytes.shift()!);
        setTimeout(next, 20);
      };
      next();
    };
    const slow: Answer[] = [
      () => undefined,
      (socket) => socket.write('HTTP/1.1 200 Said\r\ncontent-length: 10\r\n\r\n'),
      (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(3)),
      byteByByte,
    ];
    const answers = await Promise.all(slow.map((answer) => placedAgainst(answer, {}, { deadlineMs: 1_500 })));
    expect(answers.map((answer) => answer.kind)).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
  });
});

describe('an order that was surely not sent', () => {
  it('when the connection is refused', async () => {
    const answer = await place(options(`localhost:${await closedPort()}`));
    expect(answer).toEqual({ kind: 'not_sent', cause: 'ECONNREFUSED' });
  });

  it('when the name is unknown', async () => {
    const answer = await place(options('mtpay.invalid'));
    expect(answer.kind).toBe('not_sent');
    expect(answer).toHaveProperty('cause', expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN|connect timeout)$/));
  });

  it('when the time to send is over once there is a connection', async () => {
    const provider = await standIn(says(http(200, SUCCESS)));
    expect(await place(options(provider.host), request(), { maySend: () => false })).toEqual({
      kind: 'not_sent',
      cause: 'too late to send',
    });
    expect(provider.received).toEqual([]);
  });

  it('when the other side does not speak TLS', async () => {
    const { host } = await babbler(http(400, 'The plain HTTP request was sent to HTTPS port'));
    const answer = await place(options(host, { placeUrl: `https://${host}${PATH}` }));
    expect(answer.kind).toBe('not_sent');
    expect(answer).toHaveProperty('cause', expect.stringMatching(/^(ERR_SSL_|EPROTO|ECONNRESET)/));
  });

  it('when the other side never finishes the TLS handshake', async () => {
    const provider = await standIn(() => undefined);
    const secure = options(provider.host, { placeUrl: `https://${provider.host}${PATH}` });
    expect(await place(secure, request(), { deadlineMs: 500 })).toEqual({ kind: 'not_sent', cause: 'deadline' });
  });
});

const own = await makeCertificate(['localhost']);

describe('a certificate', () => {
  const secure = async (change: Partial<MtpayOptions>, certificate = own) => {
    const provider = await standIn(says(http(200, SUCCESS)), certificate);
    const answer = await place(options(provider.host, { placeUrl: `https://${provider.host}${PATH}`, ...change }));
    return { answer, sent: provider.received.length };
  };

  it('that is trusted is spoken to', async () => {
    expect(await secure({ ca: own.ca })).toMatchObject({ answer: { kind: 'placed' }, sent: 1 });
  });

  it('that nobody vouches for is not: nothing leaves', async () => {
    expect(await secure({})).toEqual({
      answer: { kind: 'not_sent', cause: 'SELF_SIGNED_CERT_IN_CHAIN' },
      sent: 0,
    });
  });

  it('for another host is not, though trusted: nothing leaves', async () => {
    const other = await makeCertificate(['other.example']);
    expect(await secure({ ca: other.ca }, other)).toEqual({
      answer: { kind: 'not_sent', cause: 'ERR_TLS_CERT_ALTNAME_INVALID' },
      sent: 0,
    });
  });
});

describe('a proxy', () => {
  const through = async (proxy: string, change: Partial<MtpayOptions> = {}, call: Partial<CallOptions> = {}) => {
    const provider = await standIn(says(http(200, SUCCESS)), own);
    const placeUrl = `https://${provider.host}${PATH}`;
    const to = options(provider.host, { placeUrl, ca: own.ca, proxy, ...change });
    return { answer: await place(to, request(), call), provider };
  };

  it('opens the way and sees the host alone: the signature and the payer go to the provider', async () => {
    const proxy = await openProxy();
    const { answer, provider } = await through(`http://user:p%40ss@${proxy.host}`);
    expect(answer).toMatchObject({ kind: 'placed' });
    expect(provider.received).toHaveLength(1);
    const login = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(proxy.asked).toEqual([{ target: provider.host, login }]);
    expect(proxy.seen()).not.toMatch(/POST|signature|external/);
  });

  it('that refuses, is not there or says nothing means that nothing was sent', async () => {
    const refuses = await openProxy(407);
    const silent = await standIn(() => undefined);
    for (const [host, cause] of [
      [refuses.host, 'proxy: HTTP 407'],
      [`localhost:${await closedPort()}`, 'proxy: ECONNREFUSED'],
      [silent.host, 'proxy: deadline'],
    ] as const) {
      const { answer, provider } = await through(`http://${host}`, {}, { deadlineMs: 500 });
      expect(answer).toEqual({ kind: 'not_sent', cause });
      expect(provider.connections()).toBe(0);
    }
  });

  it('does not stand in for the provider: its certificate is checked as ever', async () => {
    const { answer, provider } = await through(`http://${(await openProxy()).host}`, {
      ca: (await makeCertificate(['localhost'])).ca,
    });
    expect(answer).toEqual({ kind: 'not_sent', cause: 'SELF_SIGNED_CERT_IN_CHAIN' });
    expect(provider.received).toEqual([]);
  });
});

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('T19: %i is not followed: the signature goes nowhere else', async (status) => {
    const elsewhere = await standIn(says(http(200, SUCCESS)));
    const answer = await placedAgainst(says(http(status, '', { location: `http://${elsewhere.host}${PATH}` })));
    expect(answer).toEqual({ kind: 'unknown', cause: `HTTP ${status}` });
    expect(elsewhere.connections()).toBe(0);
  });
});

describe('a checkout link', () => {
  const linked = (redirectUrl: string, change: Partial<MtpayOptions> = {}) =>
    placedAgainst(says(http(200, envelope({}, { ...DATA, redirectUrl }))), change);

  it.each([
    'https://checkout.example/pay/1',
    'https://checkout.example:443/pay/1?lang=en#top',
    'HTTPS://Checkout.Example/pay/1',
  ])('to an allowed host reaches the customer: %s', async (url) => {
    expect(await linked(url)).toMatchObject({ kind: 'placed', redirectUrl: new URL(url).href });
  });

  it('over plain HTTP reaches the customer only for a host that is named for it', async () => {
    const change = { redirectHosts: ['localhost', 'checkout.example'], plainHttpHosts: ['localhost'] };
    expect(await linked('http://localhost:8090/pay/1', change)).toMatchObject({ kind: 'placed' });
    expect(await linked('http://checkout.example/pay/1', change)).toEqual({
      kind: 'unknown',
      cause: 'FOREIGN_REDIRECT',
    });
  });

  it.each([
    'https://evil.example/pay/1',
    'https://checkout.example.evil.example/',
    'https://evil.example/checkout.example',
    'https://evil.example/?https://checkout.example/',
    'https://evil.example#checkout.example',
    'https://checkout.example@evil.example/',
    'https://user@checkout.example/',
    'https://user:word@checkout.example/',
    'https://sub.checkout.example/',
    'https://checkout.example./',
    'https:\\\\evil.example\\checkout.example',
    '//checkout.example/pay/1',
    '/pay/1',
    'checkout.example/pay/1',
    'javascript:alert(1)',
    'javascript://checkout.example/%0aalert(1)',
    'data:text/html,<script>1</script>',
    'file:///etc/hostname',
    'ftp://checkout.example/',
    'wss://checkout.example/',
    'blob:https://checkout.example/1',
    ' ',
    '',
    'https://',
    `https://checkout.example/${'a'.repeat(2_000)}`,
  ])('T19: that leads elsewhere reaches nobody, and the order stays unknown: %s', async (url) => {
    expect(await linked(url)).toEqual({ kind: 'unknown', cause: 'FOREIGN_REDIRECT' });
  });

  it('to another port than the named one reaches nobody', async () => {
    const change = { redirectHosts: ['checkout.example:8443'] };
    expect(await linked('https://checkout.example:8443/1', change)).toMatchObject({ kind: 'placed' });
    expect(await linked('https://checkout.example/1', change)).toEqual({ kind: 'unknown', cause: 'FOREIGN_REDIRECT' });
  });
});

describe('what is kept of an answer', () => {
  const refused = (message: unknown) =>
    placedAgainst(
      says(http(200, JSON.stringify({ data: null, statusCode: 'PARAMETER_ERROR', message, success: false }))),
    );

  it.each([
    ['a text', 'amount too small', 'amount too small'],
    ['no text', undefined, ''],
    ['an object', { text: NAME }, ''],
    ['a list', [NAME], ''],
    ['control characters', 'a\u001b[31m\r\nb\u0000\u202ec', 'a [31m  b  c'],
    ['a mark that is no beginning', 'a\ufeffb', 'a b'],
    ['a long text', 'x'.repeat(1_000), 'x'.repeat(300)],
    ['a character that the cut would halve', `${'x'.repeat(299)}😀`, 'x'.repeat(299)],
    ["the payer's name", `payer ${NAME} (${NAME}) is blocked`, 'payer [payer] ([payer]) is blocked'],
    ["the payer's name at the cut", `${'x'.repeat(299)}${NAME}`, `${'x'.repeat(299)}[`],
    ['the access key', 'no merchant B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R', 'no merchant [hidden]'],
    ['the signature', `${SIGNATURE} is wrong`, '[hidden] is wrong'],
    ['the signature in small letters', `${SIGNATURE.toLowerCase()} is wrong`, '[hidden] is wrong'],
    [
      'the token of the callback',
      'cannot call https://pay.example/v1/callbacks/mtpay/kid/token',
      'cannot call https://pay.example/v1/callbacks/mtpay/kid/[hidden]',
    ],
  ])('of its message: %s', async (_, message, kept) => {
    expect(await refused(message)).toEqual({ kind: 'refused', code: 'PARAMETER_ERROR', message: kept });
  });

  const long = 'Mary (Ann) O.Neil';
  it.each([
    [long, 'MARY (ANN) O.NEIL'],
    [long, 'mary (ann) o.neil'],
    [long, 'Mary  (Ann)\tO.Neil'],
    [long, 'Mary\u0000(Ann)\u200bO.Neil'],
    [long, 'Mary\n(Ann)\u00a0O.Neil'],
    ['Mary  Ann', 'Mary Ann'],
    ['مهدی\u200cزاده', 'مهدی\u200cزاده'],
  ])("is never the payer's name in any spelling: %j as %j", async (payerRealName, spelling) => {
    const provider = await standIn(
      says(http(200, refusal('PARAMETER_ERROR', { message: `payer ${spelling} unknown` }))),
    );
    const answer = await place(options(provider.host), request({ payerRealName }));
    expect(answer).toMatchObject({ kind: 'refused', message: 'payer [payer] unknown' });
  });

  it.each([
    ['Li', 'LI-20261129-LIMIT', '[payer]-20261129-LIMIT'],
    ['Li', 'Li is not alive: li, LI.', '[payer] is not alive: [payer], [payer].'],
    ['Li', '付款人Li不存在', '付款人[payer]不存在'],
    ['Wang', 'Wanger, Swang, payer:WANG123_wang', 'Wanger, Swang, payer:[payer]123_[payer]'],
    ['Ли', 'Плитка, плательщик Ли', 'Плитка, плательщик [payer]'],
    ['李', '付款人李明不存在', '付款人[payer]明不存在'],
    ['李明', '付款人李明不存在', '付款人[payer]不存在'],
    ['김철수', '김철수는 없다', '[payer]는 없다'],
    ['علي', 'وعلي', 'و[payer]'],
    ['Li Ming', 'payerLI  MINGx', 'payer[payer]x'],
    ['Zhang', 'ZHANGs', '[payer]s'],
    ['Li李', 'Li李x', '[payer]x'],
    ['oken', 'of token/oken', 'of [hidden]/[payer]'],
    ['to', '/token/ to', '/[hidden]/ [payer]'],
  ])('hides the name %j in %j as a word, or wherever it cannot be another: %j', async (payerRealName, said, kept) => {
    const provider = await standIn(says(http(200, envelope({}, { ...DATA, advertisementCode: said }))));
    const answer = await place(options(provider.host), request({ payerRealName }));
    expect(answer).toMatchObject({ kind: 'placed', advertisementCode: kept });
  });

  it('is read behind a byte order mark: the order is placed', async () => {
    expect(await placedAgainst(says(http(200, `\ufeff${SUCCESS}`)))).toMatchObject({
      kind: 'placed',
      advertisementCode: 'AD-1',
    });
  });

  /** Servers that throw everything they were told back. */
  const echo = (request: string): [string, string][] => [
    ['as the message of a refusal', http(400, refusal('PARAMETER_ERROR', { message: request }))],
    ['as the message of a system error', http(200, refusal('SYSTEM_ERROR', { message: request }))],
    ['as the message of a refused timestamp', http(200, refusal('TIMESTAMP_ERROR', { message: request }))],
    ['as a statusCode', http(200, refusal(request))],
    ['as a statusCode and success', http(200, envelope({ statusCode: request }))],
    ['as a page', http(500, `<pre>${request}</pre>`)],
    ['as it came', http(200, request)],
    ['as a checkout link', http(200, envelope({}, { ...DATA, redirectUrl: `https://evil.example/${request}` }))],
    ['as a header', http(200, '', { date: encodeURIComponent(request) })],
    ['as no HTTP at all', request],
  ];
  it.each(echo('').map(([how], i) => ({ how, i })))("is never the payer's name, thrown back $how", async ({ i }) => {
    const answer: PlacementOutcome = await placedAgainst((socket, { body }) => socket.end(echo(body)[i]![1]));
    const kept = decodeURIComponent(JSON.stringify(answer));
    expect(kept).not.toContain(NAME);
    expect(kept).not.toContain(documentKey.secretKey.reveal().toString());
  });
});
