import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverCertificate } from '../../sandbox/certificate.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import { createDatabase, eventually, start } from './support.ts';

let folder: string;
let databaseUrl: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sandbox-tls-'));
  databaseUrl = await createDatabase();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const startSecure = (env: Record<string, string> = {}): Promise<Sandbox> =>
  start(databaseUrl, {
    SANDBOX_TLS: 'on',
    SANDBOX_TLS_DIRECTORY: join(folder, 'tls'),
    SANDBOX_ALLOW_PLAIN_HTTP: 'none',
    ...env,
  });

/** Status and body, over TLS if there is a `ca`. */
function get(url: string, ca?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const ask = url.startsWith('https:') ? requestHttps : requestHttp;
    const request = ask(url, { agent: false, ...(ca === undefined ? {} : { ca }) }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    request.on('error', reject).end();
  });
}

describe('a sandbox with TLS', () => {
  test('answers over HTTPS whoever trusts the certificate made at its first start, by name and by address', async () => {
    const sandbox = await startSecure();
    const ca = await readFile(sandbox.caFile!, 'utf8');
    expect(sandbox.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const { port } = new URL(sandbox.url);
    for (const host of ['127.0.0.1', 'localhost']) {
      expect(await get(`https://${host}:${port}/healthz`, ca)).toEqual({ status: 200, text: '{"status":"ok"}' });
    }
    await expect(get(`https://127.0.0.1:${port}/healthz`)).rejects.toThrow(/certificate/);
    await sandbox.close();
  });

  test('refuses plain HTTP on the same port, also for a placement that would be in order', async () => {
    const sandbox = await startSecure();
    const plain = sandbox.url.replace('https:', 'http:');
    for (const path of ['/healthz', '/api/buy-coin/transaction', '/control/orders/x']) {
      const answer = await get(`${plain}${path}`);
      expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('plain HTTP') });
    }
    await sandbox.close();
  });

  test('answers plain HTTP from this machine where that is allowed, and HTTPS as well', async () => {
    const sandbox = await startSecure({ SANDBOX_ALLOW_PLAIN_HTTP: 'loopback' });
    const ca = await readFile(sandbox.caFile!, 'utf8');
    expect((await get(`${sandbox.url.replace('https:', 'http:')}/healthz`)).status).toBe(200);
    expect((await get(`${sandbox.url}/healthz`, ca)).status).toBe(200);
    await sandbox.close();
  });

  test('keeps its certificate over a restart, and its key to itself', async () => {
    const [first, second] = [await startSecure(), await startSecure()];
    const ca = await readFile(first.caFile!, 'utf8');
    expect((await get(`${second.url}/healthz`, ca)).status).toBe(200);
    expect((await stat(join(folder, 'tls', 'server-key.pem'))).mode & 0o777).toBe(0o600);
    await Promise.all([first.close(), second.close()]);
  });

  test('closes although clients hold connections open that say nothing, or half of something', async () => {
    const sandbox = await startSecure();
    const { port } = new URL(sandbox.url);
    const ca = await readFile(sandbox.caFile!, 'utf8');
    const silent = connect(Number(port), '127.0.0.1');
    const half = connectTls({ port: Number(port), host: '127.0.0.1', ca }, () => half.write('GET / HT'));
    const ends = [silent, half].map(
      (socket) => new Promise((resolve) => void socket.on('error', () => undefined).once('close', resolve)),
    );
    await eventually(() => (half.authorized ? true : undefined));
    await sandbox.close();
    await Promise.all(ends);
  });
});

test('a certificate that does not cover a host asked for is replaced', async () => {
  const own = join(folder, 'own');
  const first = await serverCertificate(own, ['localhost']);
  expect((await serverCertificate(own, ['localhost'])).cert).toBe(first.cert);
  const second = await serverCertificate(own, ['localhost', 'sandbox.test', '2001:db8::1', '192.0.2.7']);
  expect(second.cert).not.toBe(first.cert);
  expect((await serverCertificate(own, ['sandbox.test', '2001:db8::1', '192.0.2.7'])).cert).toBe(second.cert);
});
