import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter } from '@temporalio/common';
import { afterAll, describe, expect, it } from 'vitest';
import { createAccess } from '../../api/http/authenticate.ts';
import { createCodecServer } from '../../api/codec/codec-server.ts';
import { createSessions } from '../../api/codec/codec-login.ts';
import { listen } from '../../api/http/http.ts';
import { Secret } from '../../config/keys/secret.ts';
import { loadCodecServerConfig } from '../../config/settings/codec-server.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { createPayloadCodec } from '../../encoding/payload-codec.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { createTestDatabase } from '../support/database.ts';
import { memoryLog } from './evidence.ts';

const ORIGIN = 'http://127.0.0.1:8233';
const db = await createTestDatabase();
const codec = createPayloadCodec([new Secret(randomBytes(32))]);
const memory = memoryLog();
const server = await listen(
  createCodecServer({
    access: createAccess({ key: { perSecond: 500, burst: 1_000 }, failure: { perSecond: 5, burst: 50 } }),
    pool: db.poolFor('app_api'),
    codec,
    origin: ORIGIN,
    log: memory.log,
  }),
  { host: '127.0.0.1', port: 0 },
);
afterAll(() => server.close());
const key = await createApiKey(db.owner, { name: 'auditor', scopes: ['audit:read'] });
const creator = await createApiKey(db.owner, { name: 'backend', scopes: ['deposits:create', 'deposits:read'] });

const input = { wallet: 'wallet-42' };
const wire = (payload: { metadata?: Record<string, Uint8Array> | null; data?: Uint8Array | null }) => ({
  metadata: Object.fromEntries(
    Object.entries(payload.metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  ),
  data: Buffer.from(payload.data ?? []).toString('base64'),
});
const plain = wire(defaultPayloadConverter.toPayload(input));
const [closed] = (await codec.encode([defaultPayloadConverter.toPayload(input)])).map(wire);

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const payloadsOf = async (answer: Response) =>
  ((await answer.json()) as { payloads: { metadata: Record<string, string>; data: string }[] }).payloads;

describe('the codec server', () => {
  it('opens what was encrypted and leaves what was not', async () => {
    const answer = await post('/decode', { payloads: [closed, plain] });
    expect(answer.status).toBe(200);
    expect(await payloadsOf(answer)).toEqual([plain, plain]);
  });

  it('encrypts for what is sent from the Web UI', async () => {
    const [encoded] = await payloadsOf(await post('/encode', { payloads: [plain] }));
    expect(Buffer.from(encoded!.metadata['encoding']!, 'base64').toString()).toBe('binary/encrypted');
    expect(await payloadsOf(await post('/decode', { payloads: [encoded] }))).toEqual([plain]);
  });

  it('leaves closed what another key has closed, opens the rest, and logs no content', async () => {
    const foreign = (await createPayloadCodec([new Secret(randomBytes(32))]).encode([{ data: Buffer.from('x') }])).map(
      wire,
    )[0];
    expect(await payloadsOf(await post('/decode', { payloads: [foreign, closed] }))).toEqual([foreign, plain]);
    expect(memory.lines.join('')).toContain('a payload stays closed');
    expect(memory.lines.join('')).not.toContain('wallet-42');
  });

  it('takes a payload of nearly a megabyte, and none of more', async () => {
    const large = { metadata: plain.metadata, data: Buffer.alloc(740_000, 'a').toString('base64') };
    expect((await post('/decode', { payloads: [large] })).status).toBe(200);
    const tooLarge = { ...large, data: Buffer.alloc(800_000, 'a').toString('base64') };
    expect((await post('/decode', { payloads: [tooLarge] })).status).toBe(413);
  });

  it.each([
    ['no list', {}],
    ['no base64', { payloads: [{ data: '~' }] }],
    ['no objects', { payloads: ['x'] }],
    ['no JSON', 'x'],
  ])('refuses a body with %s', async (_, body) => {
    const answer = await post('/decode', body);
    expect({ status: answer.status, code: ((await answer.json()) as { code: string }).code }).toEqual({
      status: 400,
      code: 'invalid_request',
    });
  });
});

describe('whoever asks the codec server', () => {
  it.each([
    ['no key', '', 401],
    ['a key that is none', 'Bearer dek_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 401],
    ['a key of another scope', `Bearer ${creator}`, 403],
  ])('with %s is refused before the body is read', async (_, authorization, status) => {
    for (const path of ['/decode', '/encode']) {
      const answer = await post(path, 'not even JSON', { authorization });
      expect(answer.status).toBe(status);
      expect(await answer.text()).not.toContain('wallet-42');
    }
  });

  it('in a browser is let in from the Web UI, credentials and its headers included, and from nowhere else', async () => {
    const preflight = (origin: string) =>
      fetch(`${server.url}/decode`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,x-namespace,authorization',
        },
      });
    const allowed = await preflight(ORIGIN);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    expect(allowed.headers.get('access-control-allow-credentials')).toBe('true');
    for (const name of ['content-type', 'x-namespace', 'authorization'])
      expect(allowed.headers.get('access-control-allow-headers')).toContain(name);
    for (const origin of ['http://127.0.0.1:9999', 'https://evil.example', 'null', `${ORIGIN}.evil.example`]) {
      const refused = await preflight(origin);
      expect(refused.status).toBe(403);
      expect(refused.headers.get('access-control-allow-origin')).toBeNull();
      expect((await post('/decode', { payloads: [closed] }, { origin })).status).toBe(403);
    }
    const asked = await post('/decode', { payloads: [closed] }, { origin: ORIGIN });
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([200, ORIGIN]);
  });

  it('may give the key once and is remembered by a cookie, until the key is revoked', async () => {
    expect(await (await fetch(server.url)).text()).toContain('audit:read');
    const own = await createApiKey(db.owner, { name: 'a-person', scopes: ['audit:read'] });
    const login = (given: string) =>
      fetch(`${server.url}/session`, { method: 'POST', redirect: 'manual', body: new URLSearchParams({ key: given }) });
    expect((await login(creator)).status).toBe(401);
    expect((await login('')).status).toBe(401);
    const answer = await login(own);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain(`<a href="${ORIGIN}">`);
    const cookie = answer.headers.get('set-cookie')!;
    expect(cookie).toMatch(/^deposit_codec=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=28800$/);
    expect(cookie).not.toContain(own);
    const asked = (header: string) =>
      fetch(`${server.url}/decode`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', cookie: header, origin: ORIGIN },
        body: JSON.stringify({ payloads: [closed] }),
      });
    expect((await asked(cookie.split(';')[0]!)).status).toBe(200);
    expect((await asked(`deposit_codec=${'x'.repeat(43)}`)).status).toBe(401);
    await db.owner.query(`update engine.api_key set revoked_at = now() where name = 'a-person'`);
    expect((await asked(cookie.split(';')[0]!)).status).toBe(401);
  });

  it('is asked for the key again after eight hours', () => {
    let now = 0;
    const sessions = createSessions(() => now);
    const cookie = `a=b; deposit_codec=${sessions.open('dek_x')}`;
    const authorization = () => {
      const request = { headers: { cookie } as Record<string, string> };
      void sessions.restore(request as never, {} as never, () => undefined);
      return request.headers['authorization'];
    };
    expect(authorization()).toBe('Bearer dek_x');
    now = 8 * 3_600_000;
    expect(authorization()).toBeUndefined();
  });
});

it('the settings of the codec server are all required but its address', () => {
  const env = { DATABASE_URL: 'postgres://x/y', TEMPORAL_UI_URL: ORIGIN };
  expect(loadCodecServerConfig(env)).toMatchObject({ listen: { host: '127.0.0.1', port: 8082 }, origin: ORIGIN });
  for (const name of Object.keys(env)) expect(() => loadCodecServerConfig({ ...env, [name]: '' })).toThrow(ConfigError);
});
