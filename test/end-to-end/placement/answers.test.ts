import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { afterAll, describe, expect, test } from 'vitest';
import { attempts, depositRow, expectRefusal, workflowStatus } from '../../api/evidence.ts';
import { loggedWorker } from '../../api/parts.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, string>;
}
type Reply = (response: ServerResponse, received: Received) => void;

/** A provider that returns the response a test sets, and records its requests. */
const received: Received[] = [];
const replies = new Map<string, Reply>();
const provider = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
    const seen = { path: request.url ?? '', headers: request.headers, body };
    received.push(seen);
    (replies.get(body.externalOrderNumber) ?? ((out) => out.destroy()))(response, seen);
  });
});
const listen = (port: number) => new Promise<void>((resolve) => provider.listen(port, '127.0.0.1', resolve));
const hangUp = () => new Promise((resolve) => provider.close(resolve));
await listen(0);
const { port } = provider.address() as { port: number };
const host = `127.0.0.1:${port}`;

const engine = await startEngine({ worker: false, provider: `http://${host}` });
const worker = await loggedWorker(engine, { MTPAY_DEADLINE: '3s' });
afterAll(hangUp);
const post = (body: unknown) => engine.call('POST', '/v1/deposits', body);
const callsFor = (externalOrderNumber: string) =>
  received.filter((seen) => seen.body['externalOrderNumber'] === externalOrderNumber);

const envelope = (change: Record<string, unknown> = {}, data: Record<string, unknown> = {}) =>
  JSON.stringify({
    data: { redirectUrl: `http://${host}/pay/1`, advertisementCode: 'AD1', currentTimestamp: Date.now(), ...data },
    statusCode: 'SUCCESS',
    message: 'success',
    success: true,
    ...change,
  });
const refusal = (change: Record<string, unknown> = {}) =>
  envelope({ data: null, statusCode: 'PARAMETER_ERROR', message: 'no', success: false, ...change });
const json =
  (text: string | Buffer, status = 200, headers: Record<string, string> = {}): Reply =>
  (response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);

async function createWith(reply: Reply, change: Record<string, unknown> = {}) {
  const body = engine.body(change);
  const externalOrderNumber = String(body['externalOrderNumber']);
  replies.set(externalOrderNumber, reply);
  return { body, externalOrderNumber, answer: await post(body) };
}

describe('what the provider is sent', () => {
  test('is the documented request, digit for digit, on the configured path', async () => {
    const { externalOrderNumber, answer } = await createWith(json(envelope()), {
      mtcAmount: '100000000000000.00000001',
      supportLanguage: 'zh_TW',
      payerRealName: '王小明',
    });
    expect(answer).toMatchObject({
      status: 201,
      body: { redirectUrl: `http://${host}/pay/1`, advertisementCode: 'AD1' },
    });
    const [call, ...more] = callsFor(externalOrderNumber);
    expect(more).toEqual([]);
    expect(call).toMatchObject({
      path: '/api/buy-coin/transaction',
      headers: {
        'content-type': 'application/json',
        access_key: engine.env['MTPAY_ACCESS_KEY'],
        timestamp: expect.stringMatching(/^\d{13}$/),
        signature: expect.stringMatching(/^[0-9A-F]{64}$/),
      },
      body: {
        buyCoinMode: 'MtcAmount',
        externalOrderNumber,
        currencyCode: 'CNY',
        supportLanguage: 'zh_TW',
        payerRealName: '王小明',
        callbackUrl: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/v1\/callbacks\/mtpay\/[0-9a-f]{8}\/[\w-]{43}$/),
      },
    });
    expect(call!.body).not.toHaveProperty('wallet');
  });
});

describe('an answer that contradicts itself or is none', () => {
  const success = JSON.parse(envelope()) as Record<string, unknown>;
  test.each<[string, Reply]>([
    ['success in words only', json(envelope({ success: false }))],
    ['a success that is not true', json(envelope({ success: 'true' }))],
    ['SUCCESS with HTTP 500', json(envelope(), 500)],
    ['SUCCESS with HTTP 400', json(envelope(), 400)],
    ['a refusal with HTTP 503', json(refusal(), 503)],
    ['a refusal that says success', json(refusal({ success: true }))],
    ['a refusal without success', json(refusal({ success: undefined }))],
    ['TIMESTAMP_ERROR that says success', json(refusal({ statusCode: 'TIMESTAMP_ERROR', success: true }))],
    ['TIMESTAMP_ERROR with HTTP 502', json(refusal({ statusCode: 'TIMESTAMP_ERROR' }), 502)],
    ['a statusCode nobody has heard of', json(refusal({ statusCode: 'DUPLICATE_ORDER' }))],
    ['a statusCode in lower case', json(refusal({ statusCode: 'parameter_error' }))],
    ['a statusCode that is a number', json(refusal({ statusCode: 400 }))],
    ['no statusCode', json(refusal({ statusCode: undefined }))],
    ['two statusCodes', json(refusal().replace('{', '{"statusCode":"NO_ADVERTISEMENT",'))],
    ['two byte order marks', json(`\uFEFF\uFEFF${refusal()}`)],
    ['bytes that are no UTF-8', json(Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(refusal())]))],
    ['an array', json(`[${refusal()}]`)],
    ['null', json('null')],
    ['two documents', json(refusal() + refusal())],
    ['data that is a list', json(envelope({ data: [success['data']] }))],
    ['an advertisementCode without end', json(envelope({}, { advertisementCode: 'A'.repeat(201) }))],
    ['a redirection', json('', 302, { location: `http://${host}/elsewhere` })],
    ['a redirection with a success in it', json(envelope(), 307, { location: `http://${host}/elsewhere` })],
    ['compressed bytes', json(Buffer.from('1f8b0800', 'hex'), 200, { 'content-encoding': 'gzip' })],
    ['a line that dies after the request was read', (response) => response.destroy()],
  ])('%s leaves the placement unknown and is never tried again', async (_, reply) => {
    const { body, externalOrderNumber, answer } = await createWith(reply);
    expect(answer).toMatchObject({ status: 202, body: { state: 'PLACEMENT_UNKNOWN', redirectUrl: null } });
    expect((await post(body)).status).toBe(202);
    expect(callsFor(externalOrderNumber)).toHaveLength(1);
    expect(received.filter((seen) => seen.path.includes('elsewhere'))).toEqual([]);
    expect(await attempts(engine, externalOrderNumber)).toMatchObject([{ n: 1, outcome: 'unknown' }]);
    expect(await workflowStatus(engine, depositWorkflowId(externalOrderNumber))).toBe('RUNNING');
    await expect.poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 }).toEqual(['placement_unknown']);
  });

  test('headers and then nothing, or a byte now and then, is waited for until the deadline and no longer', async () => {
    const trickle: Reply = (response) => {
      const text = envelope();
      let at = 0;
      const timer = setInterval(() => response.write(text.slice(at, (at += 1))), 250);
      response.on('close', () => clearInterval(timer));
    };
    const silence: Reply = (response) => response.writeHead(200).flushHeaders();
    for (const { answer, externalOrderNumber } of await Promise.all([createWith(trickle), createWith(silence)])) {
      expect(answer).toMatchObject({ status: 202, body: { state: 'PLACEMENT_UNKNOWN', redirectUrl: null } });
      expect(callsFor(externalOrderNumber)).toHaveLength(1);
    }
  });

  test.each([
    'https://checkout.example.net/pay',
    'http://checkout.example.net/pay',
    `http://${host}.example.net/pay`,
    `http://127.0.0.1.example.net:${port}/pay`,
    `http://${host}@example.net/pay`,
    `http://user:pass@${host}/pay`,
    'http://127.0.0.1:1/pay',
    `//${host}/pay`,
    '/pay',
    'javascript:alert(1)',
    'data:text/html,hello',
    `ftp://${host}/pay`,
    `http://${host}/${'x'.repeat(2_000)}`,
    '',
  ])('a checkout link %s is never kept or shown, and the placement is unknown', async (redirectUrl) => {
    const { externalOrderNumber, answer } = await createWith(json(envelope({}, { redirectUrl })));
    expect(answer).toMatchObject({ status: 202, body: { state: 'PLACEMENT_UNKNOWN', redirectUrl: null } });
    expect(await engine.deposit(externalOrderNumber)).toMatchObject({ redirectUrl: null });
    expect(await attempts(engine, externalOrderNumber)).toMatchObject([{ answer: { cause: 'FOREIGN_REDIRECT' } }]);
    expect(callsFor(externalOrderNumber)).toHaveLength(1);
    await expect.poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 }).toEqual(['foreign_redirect']);
  });
});

describe('a refusal in the provider’s words', () => {
  test('keeps nothing of what was sent: no name, no token, no key and no signature', async () => {
    const payerRealName = 'Ouyang Xiaoxiao';
    const { externalOrderNumber, answer } = await createWith(
      (response, { headers, body }) =>
        json(
          refusal({
            message: `"${payerRealName}", OUYANG\u0000Xiaoxiao ${Object.values(headers).join(' ')} ${body['callbackUrl']}`,
          }),
        )(response, { path: '', headers, body }),
      { payerRealName },
    );
    expectRefusal(answer, 422, 'PARAMETER_ERROR');
    const [{ headers, body }] = callsFor(externalOrderNumber) as [Received];
    const history = await engine.client.workflow.getHandle(depositWorkflowId(externalOrderNumber)).fetchHistory();
    const told = [
      answer.text,
      JSON.stringify(await attempts(engine, externalOrderNumber)),
      await depositRow(engine, externalOrderNumber),
      JSON.stringify(history, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString() : value)),
      worker.lines.join(),
    ].join('\n');
    expect(told).toContain('PARAMETER_ERROR');
    const secrets = [
      'ouyang',
      'xiaoxiao',
      String(headers['signature']),
      String(headers['access_key']),
      body['callbackUrl']!,
      body['callbackUrl']!.split('/').at(-1)!,
    ];
    expect(secrets.filter((secret) => told.toLowerCase().includes(secret.toLowerCase()))).toEqual([]);
  });

  test('is cut to a bearable length and has no control characters', async () => {
    const { answer } = await createWith(json(refusal({ message: `a\u0007b\u202e${'x'.repeat(5_000)}` })));
    expectRefusal(answer, 422, 'PARAMETER_ERROR');
    expect(answer.body.detail.length).toBeLessThan(400);
    expect(answer.body.detail).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('a provider that cannot be reached', () => {
  test('is asked again for a few seconds and then refused as NOT_SENT for good, with nothing sent', async () => {
    await hangUp();
    const { body, externalOrderNumber, answer } = await createWith(json(envelope()));
    await listen(port);
    expectRefusal(answer, 422, 'NOT_SENT');
    expectRefusal(await post(body), 422, 'NOT_SENT');
    expect(callsFor(externalOrderNumber)).toEqual([]);
    const tried = await attempts(engine, externalOrderNumber);
    expect(tried.map((attempt) => attempt.n)).toEqual(tried.map((_, index) => index + 1));
    expect(tried.length).toBeGreaterThan(2);
    expect(tried.slice(0, -1).every((attempt) => attempt.outcome === 'not_sent')).toBe(true);
    expect(tried.at(-1)).toMatchObject({ outcome: 'closed', answer: { cause: 'NOT_SENT' } });
    expect(await engine.deposit(externalOrderNumber)).toMatchObject({ state: 'PLACEMENT_REFUSED', redirectUrl: null });
  });

  test('for a moment only is asked again, and gets one order', async () => {
    await hangUp();
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    replies.set(externalOrderNumber, json(envelope()));
    const creating = post(body);
    await until(
      'a first attempt',
      async () => (await attempts(engine, externalOrderNumber))[0]?.outcome === 'not_sent',
    );
    await listen(port);
    expect(await creating).toMatchObject({ status: 201, body: { state: 'AWAITING_PAYMENT' } });
    expect(callsFor(externalOrderNumber)).toHaveLength(1);
    const outcomes = (await attempts(engine, externalOrderNumber)).map((attempt) => attempt.outcome);
    expect(outcomes.filter((outcome) => outcome === 'placed')).toHaveLength(1);
    expect(outcomes.at(-1)).toBe('placed');
  });
});
