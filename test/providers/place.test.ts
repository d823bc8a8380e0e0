import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { REFUSALS } from '../../providers/mtpay/codes.ts';
import { createPlacement } from '../../providers/mtpay/place.ts';
import { isSignedBy } from '../../providers/mtpay/signature.ts';
import { documentKey } from './keys.ts';
import {
  AT,
  DATA,
  PATH,
  SIGNATURE,
  SUCCESS,
  envelope,
  options,
  place,
  placedAgainst,
  refusal,
  request,
  says,
} from './placing.ts';
import { type Answer, http, standIn } from './stand-in.ts';

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
