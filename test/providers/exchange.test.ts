import { describe, expect, it } from 'vitest';
import { exchange, type ExchangeOptions } from '../../providers/exchange.ts';
import { makeCertificate } from '../../sandbox/certificate.ts';
import { type Answer, closedPort, http, openProxy, standIn } from './stand-in.ts';

const call = (url: string, change: Partial<ExchangeOptions> = {}) =>
  exchange({
    url,
    headers: { 'x-test': 'yes' },
    body: '{"é":1}',
    deadlineMs: 10_000,
    connectTimeoutMs: 5_000,
    maxResponseBytes: 20,
    maySend: () => true,
    ...change,
  });
const says =
  (text: string): Answer =>
  (socket) =>
    socket.end(text);

describe('an answer', () => {
  it('is its status, its text and its time; without a time, or with another word for one, there is none', async () => {
    const date = 'Sun, 01 Mar 2026 12:00:00 GMT';
    const answers = [http(207, '{"ü":2}', { date }), http(404, '', { date: 'soon' }), http(200, 'x')];
    const heard = await Promise.all(answers.map(async (text) => call(`http://${(await standIn(says(text))).host}/`)));
    expect(heard).toEqual([
      { kind: 'answered', status: 207, body: '{"ü":2}', dateMs: Date.UTC(2026, 2, 1, 12) },
      { kind: 'answered', status: 404, body: '', dateMs: null },
      { kind: 'answered', status: 200, body: 'x', dateMs: null },
    ]);
  });

  it('may have as many bytes as are allowed, and one more is lost', async () => {
    const [whole, longer] = await Promise.all(
      [20, 21].map(async (length) => call(`http://${(await standIn(says(http(200, 'x'.repeat(length))))).host}/`)),
    );
    expect(whole).toMatchObject({ kind: 'answered', body: 'x'.repeat(20) });
    expect(longer).toEqual({ kind: 'lost', cause: 'answer too large' });
  });

  it('that is cut is lost', async () => {
    const { host } = await standIn(says(http(200, 'x', { 'content-length': 10 })));
    expect(await call(`http://${host}/`)).toEqual({ kind: 'lost', cause: 'ECONNRESET' });
  });

  it('may come after the time to connect is over: that ends when there is a connection', async () => {
    const { host } = await standIn((socket) => void setTimeout(() => socket.end(http(200, 'late')), 200));
    expect(await call(`http://${host}/`, { connectTimeoutMs: 150 })).toMatchObject({ kind: 'answered', body: 'late' });
  });
});

it('a connection that does not come in its time is given up, and nothing was sent', async () => {
  const { host, received } = await standIn(() => undefined);
  const answer = await call(`https://${host}/`, { connectTimeoutMs: 100 });
  expect(answer).toEqual({ kind: 'not_sent', cause: 'connect timeout' });
  expect(received).toEqual([]);
});

describe('a proxy', () => {
  it('is asked for the host and the usual port, and told a login only where there is one', async () => {
    const proxy = await openProxy(403);
    expect(await call('https://mtpay.invalid/', { proxy: `http://${proxy.host}` })).toEqual({
      kind: 'not_sent',
      cause: 'proxy: HTTP 403',
    });
    expect(proxy.asked).toEqual([{ target: 'mtpay.invalid:443', login: undefined }]);
  });

  it('is for https alone', async () => {
    const proxy = await openProxy(403);
    const { host } = await standIn(says(http(200, 'x')));
    expect(await call(`http://${host}/`, { proxy: `http://${proxy.host}` })).toMatchObject({ kind: 'answered' });
    expect(proxy.asked).toEqual([]);
  });

  it('opens the way to an address as well as to a name', async () => {
    const certificate = await makeCertificate(['::1']);
    const provider = await standIn(says(http(200, 'x')), certificate);
    const proxy = await openProxy();
    const target = `[::1]:${provider.host.split(':')[1]}`;
    const answer = await call(`https://${target}/`, { proxy: `http://${proxy.host}`, ca: certificate.ca });
    expect(answer).toMatchObject({ kind: 'answered', body: 'x' });
    expect(proxy.asked).toMatchObject([{ target }]);
  });

  it('may be an address itself', async () => {
    const answer = await call('https://mtpay.invalid/', { proxy: `http://[::1]:${await closedPort()}` });
    // Where there is no IPv6 it is no refusal; but no name is looked up.
    expect(answer).toMatchObject({
      kind: 'not_sent',
      cause: expect.stringMatching(/^proxy: E(?!NOTFOUND|AI_)[A-Z]+$/),
    });
  });
});
