import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { BlockList, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type PostOptions, postOnce, retryAfterMs } from '../../notifications/post.ts';
import { type EndpointTarget, parseTarget } from '../../notifications/target.ts';
import { makeCertificate } from '../../sandbox/certificate.ts';
import {
  answering,
  certificate,
  type Endpoint,
  plainEndpoint,
  repeating,
  secureEndpoint,
  listener,
} from './endpoints.ts';

const MESSAGE = { headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' }, body: '{"ü":1}' };
const { ca } = certificate;

function localPost(url: string, options: Partial<PostOptions> = {}) {
  const rules = { localTargets: [new URL(url).host], deny: new BlockList() };
  return postOnce(parseTarget(url, rules) as EndpointTarget, MESSAGE, { rules, ca, ...options });
}
const post = ({ port }: Endpoint, options: Partial<PostOptions> = {}) =>
  localPost(`https://localhost:${port}/hook?to=a%20b`, options);

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe('a message', () => {
  it('arrives whole, at the path and query of the address, and the answer is read', async () => {
    const endpoint = await secureEndpoint(answering('201 Created', 'retry-after: 7', '', 'thanks'));
    expect(await post(endpoint)).toEqual({
      status: 201,
      retryAfterMs: 7_000,
      answer: 'thanks',
      ms: expect.any(Number),
    });
    const [head, body] = endpoint.received[0]!.split('\r\n\r\n');
    expect(Buffer.from(body!, 'latin1').toString()).toBe(MESSAGE.body);
    expect(head!.split('\r\n')).toEqual([
      'POST /hook?to=a%20b HTTP/1.1',
      'content-type: application/json',
      'webhook-id: evt_1',
      `host: localhost:${endpoint.port}`,
      'content-length: 8',
      'connection: close',
    ]);
  });

  it('goes over plain HTTP to a local target, and to an address without a name', async () => {
    const plain = await plainEndpoint(answering('204 No Content', '', ''));
    expect(await localPost(`http://127.0.0.1:${plain.port}/`)).toMatchObject({ status: 204, answer: '' });
    const secure = await secureEndpoint(answering('204 No Content', '', ''));
    expect(await localPost(`https://127.0.0.1:${secure.port}/`)).toMatchObject({ status: 204, answer: '' });
  });
});

const HUGE = `200 OK\r\nx-huge: ${'x'.repeat(9 * 1_024)}\r\n\r\n`;
const BOMB = gzipSync(Buffer.alloc(1_024 * 1_024)).toString('latin1');

describe('an endpoint that', () => {
  it.each([
    ['sends headers for ever', repeating('HTTP/1.1 200 OK\r\n', 'x', 5), { fault: 'timeout' }],
    [
      'sends a short body for ever',
      repeating('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n', 'x', 5),
      { fault: 'timeout' },
    ],
    ['says nothing', () => {}, { fault: 'timeout' }],
    ['sends huge headers', answering(HUGE), { fault: 'headers_too_large' }],
    [
      'sends many headers',
      answering(`200 OK\r\n${'aaaa: bbbb\r\n'.repeat(1_200)}\r\n`),
      { fault: 'headers_too_large' },
    ],
    [
      'never ends its body',
      repeating('HTTP/1.1 200 OK\r\n\r\n', 'y'.repeat(10_000), 0),
      { status: 200, retryAfterMs: null, answer: 'y'.repeat(200) },
    ],
    [
      'packs its body',
      answering('200 OK', 'content-encoding: gzip', '', BOMB),
      { status: 200, retryAfterMs: null, answer: '' },
    ],
    [
      'sends 103 for ever',
      repeating('', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n', 0),
      { fault: 'answer_invalid' },
    ],
    ['sends 100 for ever', repeating('', 'HTTP/1.1 100 Continue\r\n\r\n', 0), { fault: 'answer_invalid' }],
    [
      'switches protocols',
      answering('101 Switching Protocols', 'connection: upgrade', 'upgrade: h2c', '', ''),
      { fault: 'answer_invalid' },
    ],
    ['resets the connection', (socket: Socket) => socket.destroy(), { fault: 'answer_cut' }],
    ['closes before it answers', (socket: Socket) => socket.end(), { fault: 'answer_cut' }],
    ['closes within its headers', answering('200 OK', 'content-le'), { fault: 'answer_cut' }],
    ['closes within its body', answering('200 OK', 'content-length: 100', '', 'half'), { fault: 'answer_cut' }],
    ['does not speak HTTP', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), { fault: 'answer_invalid' }],
    [
      'frames its body twice',
      answering('200 OK', 'content-length: 1', 'transfer-encoding: chunked', '', '0', '', ''),
      { fault: 'answer_invalid' },
    ],
    [
      'answers with what no screen shows',
      answering('500 No', '', 'a\u0000\u001b[2J\u202eb\r\n\r\n c\xff'),
      { status: 500, retryAfterMs: null, answer: 'a [2J b cÿ' },
    ],
    ['is gone', answering('410 Gone', '', ''), { status: 410, retryAfterMs: null, answer: '' }],
  ])('%s has the one result, and the connection is closed', async (_, manner, result) => {
    const closed = vi.fn();
    const endpoint = await secureEndpoint((socket) => {
      socket.once('close', closed);
      manner(socket);
    });
    const slow = 'fault' in result && result.fault === 'timeout';
    expect(await post(endpoint, slow ? { deadlineMs: 250 } : {})).toEqual({ ...result, ms: expect.any(Number) });
    await vi.waitFor(() => expect(closed).toHaveBeenCalledTimes(1));
    expect(endpoint.received).toHaveLength(1);
  });

  it.each([301, 302, 303, 307, 308])('T31: redirects with %i is not followed', async (status) => {
    const inside = await listener('127.0.0.1', 0);
    const endpoint = await secureEndpoint(
      answering(`${status} Away`, `location: http://127.0.0.1:${inside.port}/`, '', ''),
    );
    expect(await post(endpoint)).toMatchObject({ status });
    expect([endpoint.received.length, inside.received]).toEqual([1, []]);
  });

  it('is not there, or speaks no TLS, is told apart', async () => {
    const gone = await listener('127.0.0.1', 0);
    await gone.close();
    expect(await post(gone)).toMatchObject({ fault: 'connect_failed' });
    expect(await post(await listener('127.0.0.1', 0, 'HTTP/1.1 400 Bad Request\r\n\r\n'))).toMatchObject({
      fault: 'tls_failed',
    });
    expect(await post(await listener('127.0.0.1', 0), { deadlineMs: 250 })).toMatchObject({ fault: 'timeout' });
  });

  it.each([
    ['of another name', () => makeCertificate(['other.example']), {}],
    ['of an unknown authority', () => makeCertificate(['localhost']), { ca: certificate.ca }],
  ])('has a certificate %s gets no request, whatever the environment says', async (_, make, options) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const made = await make();
    const manner = vi.fn();
    const endpoint = await secureEndpoint(manner, made);
    expect(await post(endpoint, { ca: made.ca, ...options })).toMatchObject({ fault: 'certificate_refused' });
    expect(manner).not.toHaveBeenCalled();
    expect(endpoint.received.join('')).toBe('');
  });
});

describe('a post', () => {
  it('ends at its deadline while a name server is silent, and when it is canceled', async () => {
    const never = () => new Promise<string[]>(() => {});
    const url = 'https://localhost:1/';
    const late = await localPost(url, { lookup: never, deadlineMs: 20 });
    expect(late).toMatchObject({ fault: 'timeout' });
    // The look-up has a limit of its own, of 3 s.
    expect(late.ms).toBeLessThan(2_500);
    expect(await localPost(url, { lookup: never, signal: AbortSignal.abort() })).toMatchObject({ fault: 'canceled' });
    const stop = new AbortController();
    const endpoint = await secureEndpoint(() => stop.abort());
    expect(await post(endpoint, { signal: stop.signal })).toMatchObject({ fault: 'canceled' });
  });

  it('has a result when a name server fails, and when the headers are none', async () => {
    const failing = () => Promise.reject(new Error('SERVFAIL'));
    expect(await localPost('https://localhost:1/', { lookup: failing })).toMatchObject({ fault: 'name_not_resolved' });
    const endpoint = await plainEndpoint(answering('200 OK', '', ''));
    const rules = { localTargets: [`127.0.0.1:${endpoint.port}`], deny: new BlockList() };
    const target = parseTarget(`http://127.0.0.1:${endpoint.port}/`, rules) as EndpointTarget;
    const split = { headers: { 'x-a': 'b\r\nx-c: d' }, body: '' };
    expect(await postOnce(target, split, { rules })).toMatchObject({ fault: 'request_invalid' });
    expect(endpoint.received.join('')).toBe('');
  });

  it('T31: connects to the checked address, and writes nothing to another', async () => {
    const rules = { localTargets: [], deny: new BlockList() };
    const target = parseTarget('https://hooks.example/', rules) as EndpointTarget;
    const lookup = vi.fn(() => Promise.resolve(['1.1.1.1', '8.8.8.8']));
    const connect = vi.spyOn(Socket.prototype, 'connect').mockImplementation(function dropped(this: Socket) {
      setImmediate(() => this.destroy());
      return this;
    });
    expect(await postOnce(target, MESSAGE, { rules, lookup })).toMatchObject({ fault: 'connect_failed' });
    expect(lookup).toHaveBeenCalledTimes(1);
    expect(connect.mock.calls.map(([options]) => options)).toMatchObject([
      { host: '1.1.1.1', port: 443, servername: 'hooks.example' },
    ]);
    connect.mockImplementation(() => {
      throw new Error('no sockets left');
    });
    expect(await postOnce(target, MESSAGE, { rules, lookup })).toMatchObject({ fault: 'connect_failed' });
    connect.mockRestore();

    const manner = vi.fn();
    const endpoint = await secureEndpoint(manner);
    const real = Reflect.get(Socket.prototype, 'connect') as (...args: unknown[]) => Socket;
    vi.spyOn(Socket.prototype, 'connect').mockImplementation(function elsewhere(this: Socket, ...args: unknown[]) {
      const [options, connected] = args;
      return real.call(this, { ...(options as object), host: '127.0.0.1' }, connected);
    });
    expect(await post(endpoint, { lookup: () => Promise.resolve(['127.0.0.2']) })).toMatchObject({
      fault: 'connect_failed',
    });
    expect(endpoint.received.join('')).toBe('');
    expect(manner).not.toHaveBeenCalled();
    expect(await post(endpoint, { lookup: () => Promise.resolve(['127.0.0.1']), deadlineMs: 250 })).toMatchObject({
      fault: 'timeout',
    });
    expect(manner).toHaveBeenCalledTimes(1);
  });

  it('T31: uses no proxy of the environment, and no agent that could have one', async () => {
    const proxy = await listener('127.0.0.1', 0);
    const endpoint = await secureEndpoint(answering('200 OK', '', ''));
    const address = `http://127.0.0.1:${proxy.port}`;
    const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap((name) => [name, name.toLowerCase()]);
    const env = { ...Object.fromEntries(names.map((name) => [name, address])), NODE_USE_ENV_PROXY: '1', NO_PROXY: '' };
    const program = `
      import { BlockList } from 'node:net';
      import { postOnce } from ${JSON.stringify(new URL('../../notifications/post.ts', import.meta.url).href)};
      const target = { href: 'https://localhost:${endpoint.port}/', secure: true, host: 'localhost', port: ${endpoint.port}, local: true };
      const rules = { localTargets: [], deny: new BlockList() };
      const result = await postOnce(target, { headers: {}, body: '' }, { rules, ca: process.env.CA });
      console.log(JSON.stringify(result));`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      env: { ...process.env, no_proxy: '', ...env, CA: ca },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [printed] = (await once(child.stdout, 'data')) as [Buffer];
    expect(JSON.parse(printed.toString())).toMatchObject({ status: 200 });
    for (const agent of [http.globalAgent, https.globalAgent])
      vi.spyOn(agent as http.Agent & { addRequest(): void }, 'addRequest').mockImplementation(() => {
        throw new Error('the global agent');
      });
    expect(await post(endpoint)).toMatchObject({ status: 200 });
    expect([proxy.received.length, endpoint.received.length]).toEqual([0, 2]);
  });
});

describe('a Retry-After', () => {
  const DATE = 'Tue, 01 Dec 2026 00:00:00 GMT';
  it.each([
    ['0', 0],
    ['120', 120_000],
    ['86401', 86_400_000],
    ['9'.repeat(400), 86_400_000],
    ['Tue, 01 Dec 2026 00:01:00 GMT', 60_000],
    ['Tuesday, 01-Dec-26 00:01:00 GMT', 60_000],
    ['Tue Dec  1 00:01:00 2026', 60_000],
    ['Mon, 30 Nov 2026 00:00:00 GMT', 0],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000],
    ['', null],
    ['-1', null],
    ['1.5', null],
    ['1e3', null],
    ['soon', null],
    ['2026-12-01', null],
    ['Tue, 99 Dec 2026 00:01:00 GMT', null],
  ])('of %s is understood, and is a day at most', (value, ms) => {
    expect(retryAfterMs(value, DATE)).toBe(ms);
  });

  it('is counted from the endpoint’s own clock, or from ours where it tells none', async () => {
    const hour = 3_600_000;
    expect(retryAfterMs(new Date(Date.now() + hour).toUTCString(), undefined)).toBeGreaterThan(hour / 2);
    expect(retryAfterMs(new Date(Date.now() + hour).toUTCString(), 'yesterday')).toBeGreaterThan(hour / 2);
    expect(retryAfterMs(undefined, DATE)).toBeNull();
    const endpoint = await secureEndpoint(
      answering(
        '503 Busy',
        'date: Tue, 01 Jan 2030 00:00:00 GMT',
        'retry-after: Tue, 01 Jan 2030 00:00:09 GMT',
        '',
        '',
      ),
    );
    expect(await post(endpoint)).toMatchObject({ status: 503, retryAfterMs: 9_000 });
  });
});
