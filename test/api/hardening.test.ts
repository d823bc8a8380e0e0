import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { openCallbackListener } from '../../api/callback-listener.ts';
import { loadCallbacksConfig } from '../../config/settings/callbacks.ts';
import { createSealer, sealKey } from '../../config/keys/inbox-seal.ts';
import { mapKeyring } from '../../config/keys/keyring.ts';
import type { Log } from '../../telemetry/log.ts';
import { createApp, listen, LISTENER_LIMITS, requireJson } from '../../api/http/http.ts';
import { startEngine } from '../support/engine.ts';
import { order as buildOrder, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { until } from '../support/until.ts';
import { expectRefusal, inbox, memoryLog } from './evidence.ts';
import { expectAck, reserved } from './parts.ts';
import { talk } from './talk.ts';

const engine = await startEngine({ worker: false });
const { apiUrl, callbackUrl } = engine.api;
const callbackPath = new URL(callbackAddress(engine, 'x')).pathname;
const both = [
  ['private', apiUrl],
  ['public', callbackUrl],
] as const;
const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
const say = async (url: string, head: string, body = '') => {
  const text = await talk(url, [`${head.replaceAll('\n', '\r\n')}\r\nHost: x\r\nConnection: close\r\n\r\n${body}`]);
  return { status: statuses(text)[0], text };
};

describe.each(both)('the %s listener', (_name, url) => {
  test.each(['OPTIONS', 'TRACE', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'])('does not do %s', async (method) => {
    const path = url === apiUrl ? '/v1/deposits' : callbackPath;
    const { status, text } = await say(url, `${method} ${path} HTTP/1.1\nX-Secret: s3cret`);
    expect(status).toBe(405);
    expect(text).toMatch(/^allow: /im);
    // TRACE would echo what a proxy has added.
    expect(text).not.toContain('s3cret');
  });

  test('opens no tunnel', async () => {
    expect(statuses(await talk(url, ['CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n']))).toEqual([]);
  });

  test.each([
    '/%',
    '/%ff',
    '/v1/deposits/%',
    '/v1/deposits/%c0%ae',
    `${callbackPath}%`,
    '/v1/wallets/%00',
    '/v1/%2e%2e/etc/passwd',
    '/..;/v1',
  ])('answers the malformed address %s as a mistake of the caller’s, not of its own', async (path) => {
    const { status, text } = await say(url, `GET ${path} HTTP/1.1`);
    expect([400, 401, 404, 405]).toContain(status);
    expect(text).not.toMatch(/node_modules|at .*\.ts/);
  });

  test.each(['authorization', 'content-type', 'content-encoding', 'host'])(
    'refuses two headers of the name %s',
    async (name) => {
      const { status } = await say(url, `GET /healthz HTTP/1.1\n${name}: a\n${name}: b`);
      expect(status).toBe(400);
    },
  );

  test('takes no headers of more than 8 kB, the address included', async () => {
    expect((await say(url, `GET /${'x'.repeat(8_200)} HTTP/1.1`)).status).toBe(431);
    expect((await say(url, `GET /x HTTP/1.1\nX: ${'x'.repeat(8_200)}`)).status).toBe(431);
    expect((await say(url, `GET /x HTTP/1.1\nX: ${'x'.repeat(7_000)}`)).status).toBe(404);
  });

  test('answers whatever a client expects beside the answer as if it did not', async () => {
    expect((await say(url, 'GET /x HTTP/1.1\nExpect: 42')).status).toBe(404);
    const path = url === apiUrl ? '/v1/deposits' : callbackPath;
    const { text } = await say(
      url,
      `POST ${path} HTTP/1.1\nExpect: 100-continue\nContent-Type: text/plain\nContent-Length: 2`,
      '{}',
    );
    expect(statuses(text).at(-1)).toBe(url === apiUrl ? 401 : 415);
  });

  test('needs a Host only where no money could be lost with the request', async () => {
    const status = statuses(await talk(url, ['GET /x HTTP/1.1\r\nConnection: close\r\n\r\n']))[0];
    expect(status).toBe(url === apiUrl ? 400 : 404);
  });

  test('knows one spelling of an address', async () => {
    const path = url === apiUrl ? '/healthz' : callbackPath;
    const method = url === apiUrl ? 'GET' : 'POST';
    const there = (await say(url, `${method} ${path} HTTP/1.1`)).status;
    expect(there).not.toBe(404);
    for (const other of [path.toUpperCase(), `${path}/`, `/${path}`, path.replace('/', '/./')]) {
      expect([other, (await say(url, `${method} ${other} HTTP/1.1`)).status]).toEqual([other, 404]);
    }
  });

  test('tells nothing of itself and lets no page use what it answers', async () => {
    const { text } = await say(url, 'GET /nothing HTTP/1.1\nOrigin: https://evil.example');
    expect(text).not.toMatch(/^(x-powered-by|server|etag|access-control-[a-z-]+):/im);
    expect(text).toMatch(
      /^content-security-policy: default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'\r$/im,
    );
    expect(text).not.toContain('unsafe-inline');
  });
});

test('a refusal ends a stranger’s connection to the public listener, and none to the private one', async () => {
  const connection = async (url: string) => (await fetch(`${url}/nothing`)).headers.get('connection');
  expect([await connection(callbackUrl), await connection(apiUrl)]).toEqual(['close', 'keep-alive']);
});

test('what is private is on the private listener only', async () => {
  for (const path of [
    '/healthz',
    '/readyz',
    '/openapi.json',
    '/docs',
    '/docs/style.css',
    '/v1/deposits',
    '/v1/wallets/a',
  ]) {
    expectRefusal({ ...(await fetchAnswer(`${callbackUrl}${path}`)) }, 404, 'not_found');
  }
  expectRefusal(await fetchAnswer(`${apiUrl}${callbackPath}`), 404, 'not_found');
});

async function fetchAnswer(url: string) {
  const response = await fetch(url);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

test.each([
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/style.css',
  '/v1/deposits/a',
  '/v1/wallets/a',
  '/v1/deposits',
])('%s takes no parameter it does not know', async (path) => {
  const answer = await engine.call('GET', `${path}?debug=1`);
  expectRefusal(answer, 400, 'invalid_request');
  expect(answer.body.errors).toEqual([{ field: 'debug', message: 'unknown field' }]);
});

test.each<[string, number]>([
  ['identity', 401],
  ['Identity', 415],
  ['gzip, identity', 415],
  ['deflate', 415],
  ['', 415],
])('a body with content-encoding "%s" is answered %d', async (encoding, status) => {
  // It is read before it is verified: 400 and 401 mean that it was read unchanged.
  const answer = await engine.callback(callbackPath, '{"signature":"","timestamp":1,"data":{}}', {
    'content-encoding': encoding,
  });
  expect([400, 401].includes(answer.status) ? 401 : answer.status).toBe(status);
});

test.each([
  'application/json; charset="utf-8',
  'application/json; charset=utf-8; q=1',
  'application/jsonx',
  'application/json;charset=utf-16',
])('the content type %s is not JSON as we read it', async (type) => {
  expectRefusal(
    await engine.call('POST', '/v1/deposits', undefined, { raw: '{}', headers: { 'content-type': type } }),
    415,
    'unsupported_media_type',
  );
});

const connected = async (port: number, said = '') => {
  const socket = connect(port, '127.0.0.1');
  const closed = new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()));
  // A socket that is closed at once may never learn that it was connected.
  await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed]);
  socket.write(said);
  return { socket, closed };
};

const POST = `POST ${callbackPath} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
test.each([
  ['nothing', '', 'P'],
  ['a head', `${POST}X-Slow: `, 'x'],
  ['a body', `${POST}Content-Length: 500\r\n\r\n{"signature":"`, 'A'],
  ['a body in chunks', `${POST}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, '1\r\n \r\n'],
])(
  'while senders of %s that never ends hold every connection, a genuine callback is acknowledged',
  async (_, said, more) => {
    const CONNECTIONS = 8;
    const config = loadCallbacksConfig({ ...engine.env, CALLBACK_LISTEN: '127.0.0.1:0' });
    const { rings } = config.keys;
    const listener = await openCallbackListener({
      config,
      rings,
      limits: { ...LISTENER_LIMITS, maxConnections: CONNECTIONS },
      pool: engine.db.owner,
      seal: createSealer(mapKeyring(rings.inboxSeal, sealKey)),
      signal: () => undefined,
      log: memoryLog().log,
    });
    const port = Number(new URL(listener.url).port);
    let open = 0;
    const senders = await Promise.all(
      Array.from({ length: 3 * CONNECTIONS }, async () => {
        const sender = await connected(port, said);
        open += 1;
        void sender.closed.then(() => (open -= 1));
        return sender;
      }),
    );
    try {
      await until('every connection to be held', async () => open === CONNECTIONS);
      // A sender that has just sent bytes has not ended the request.
      for (const { socket } of senders) if (!socket.destroyed) socket.write(more);
      const order = buildOrder();
      await reserved(engine, order);
      const n = order.externalOrderNumber;
      expectAck(
        await engine.callback(
          listener.url + new URL(callbackAddress(engine, n)).pathname,
          callbackBody(engine, paid(order)),
        ),
      );
      expect(await inbox(engine, n)).toMatchObject([{ acked: true, attempts: 1 }]);
      expect(open).toBe(CONNECTIONS - 1);
    } finally {
      for (const { socket } of senders) socket.destroy();
      await listener.close();
    }
  },
);

describe('a listener of its own', () => {
  const app = createApp();
  let release = () => {};
  app.get('/slow', (_request, response) => {
    release = () => response.end('done');
  });
  app.get('/quick', (_request, response) => void response.end('ok'));
  app.post('/json', requireJson, (_request, response) => void response.end('ok'));
  const open: { close(): Promise<void> }[] = [];
  const start = async (limits = {}) => {
    const listener = await listen(app, { host: '127.0.0.1', port: 0 }, { ...LISTENER_LIMITS, ...limits });
    open.push(listener);
    return listener;
  };
  afterAll(() => Promise.all(open.map((one) => one.close())));

  test('serves a bounded number of requests on one connection', async () => {
    const { url } = await start({ maxRequestsPerSocket: 3 });
    const heard = await talk(url, ['GET /quick HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5)]);
    expect(statuses(heard).slice(0, 3)).toEqual([200, 200, 200]);
    expect(
      statuses(heard)
        .slice(3)
        .every((status) => status === 503),
    ).toBe(true);
    expect(heard).toMatch(/connection: close/i);
  });

  test('shows what Node or we ourselves end unread: one request too many, and a head that gave way to others', async () => {
    const shown: unknown[] = [];
    const listener = await listen(
      app,
      { host: '127.0.0.1', port: 0 },
      { ...LISTENER_LIMITS, maxRequestsPerSocket: 2, maxConnections: 1 },
      undefined,
      ({ path, bytes }, code) => shown.push([path, bytes.toString(), code]),
    );
    open.push(listener);
    const one = 'GET /quick HTTP/1.1\r\nHost: x\r\n\r\n';
    await talk(listener.url, [`${one}${one}POST /one/more HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\ngenuine`]);
    await until('the dropped request', async () => shown.length > 0);
    const port = Number(new URL(listener.url).port);
    const longest = await connected(port, one);
    await once(longest.socket, 'data');
    await new Promise<void>((resolve) => longest.socket.write('POST /address/of/ours HTT', () => resolve()));
    // It is in the kernel by now: each turn of the loop reads what is there.
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    await connected(port, one);
    await longest.closed;
    await until('the head', async () => shown.length > 1);
    expect(shown).toEqual([
      ['/one/more', 'genuine', 'dropped'],
      ['/address/of/ours', '', 'cut'],
    ]);
  });

  const quick = 'GET /quick HTTP/1.1\r\nHost: x\r\n\r\n';

  test('has room for whoever says what they want: the connection that was silent for longest goes', async () => {
    const { url } = await start({ maxConnections: 2 });
    const port = Number(new URL(url).port);
    const first = await connected(port);
    const second = await connected(port, 'GET /quick HTT');
    const third = await connected(port, quick);
    await first.closed;
    const answered = new Promise((resolve) => third.socket.once('data', resolve));
    await answered;
    expect(second.socket.destroyed).toBe(false);
    // The third got the latest response, so the one that never ended its request is closed before it.
    const fourth = await connected(port, quick);
    await second.closed;
    await new Promise((resolve) => fourth.socket.once('data', resolve));
    expect(third.socket.destroyed).toBe(false);
    for (const { socket } of [third, fourth]) socket.destroy();
  });

  test('closes no connection whose request it works on, and takes no more than it may', async () => {
    const { url } = await start({ maxConnections: 1 });
    const port = Number(new URL(url).port);
    release = () => {};
    const before = release;
    const busy = await connected(port, 'GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await until('the request to be under way', async () => release !== before);
    const heard = new Promise<string>((resolve) => busy.socket.once('data', (data) => resolve(String(data))));
    // A newer connection makes room again.
    const turnedAway = await connected(port);
    await turnedAway.closed;
    release();
    expect(await heard).toContain('200 OK');
  });

  test('a request whose body does not come keeps nobody out', async () => {
    const { url } = await start({ maxConnections: 1 });
    const port = Number(new URL(url).port);
    const slow = await connected(
      port,
      'POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    );
    const next = await connected(port, quick);
    await slow.closed;
    expect(String(await new Promise((resolve) => next.socket.once('data', resolve)))).toContain('200 OK');
    next.socket.destroy();
  });

  test('tells how many it closed to make room, seldom', async () => {
    const lines: unknown[] = [];
    const log = { warn: (fields: unknown) => lines.push(fields) } as unknown as Log;
    const listener = await listen(app, { host: '127.0.0.1', port: 0 }, { ...LISTENER_LIMITS, maxConnections: 1 }, log);
    open.push(listener);
    const port = Number(new URL(listener.url).port);
    const all = [await connected(port), await connected(port), await connected(port)];
    await Promise.all([all[0]!.closed, all[1]!.closed]);
    expect(lines).toEqual([{ closed: 1, max: 1 }]);
    all[2]!.socket.destroy();
  });

  test('says where it listens in a form that can be called, also for an IPv6 address', async () => {
    const listener = await listen(app, { host: '::1', port: 0 });
    open.push(listener);
    expect(listener.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect(await (await fetch(`${listener.url}/quick`)).text()).toBe('ok');
  });

  test('gives up on headers and bodies that come too slowly', async () => {
    const { url } = await start({ headersTimeoutMs: 200, requestTimeoutMs: 400 });
    const slow = [
      talk(url, ['GET /quick HTTP/1.1\r\nX: ']),
      talk(url, ['POST /nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n']),
    ];
    for (const heard of await Promise.all(slow)) expect(heard).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('closes at once what is idle or silent, and the rest after its answer, which says so', async () => {
    const listener = await start();
    const { url } = listener;
    const agent = new http.Agent({ keepAlive: true });
    const ask = (path: string) =>
      new Promise<http.IncomingMessage>((resolve, reject) => {
        http
          .get(`${url}${path}`, { agent }, (response) => {
            response.resume();
            response.once('end', () => resolve(response));
          })
          .once('error', reject);
      });
    expect((await ask('/quick')).headers.connection).toBe('keep-alive');
    const silent = talk(url, []);
    release = () => {};
    const before = release;
    const underWay = ask('/slow');
    await until('the request to be under way', async () => release !== before);
    const since = performance.now();
    const closing = listener.close();
    expect(await silent).toBe('');
    release();
    expect((await underWay).headers.connection).toBe('close');
    await closing;
    // Far less than the 5 s for which a connection is kept.
    expect(performance.now() - since).toBeLessThan(3_000);
    agent.destroy();
  });
});
