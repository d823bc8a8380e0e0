import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loginLimit } from '../../../sandbox/console/login/login-limit.ts';
import type { Sandbox } from '../../../sandbox/server.ts';
import { CONSOLE_ENV, CONSOLE_PASSWORD, logIn, request, tryPassword, startConsole } from './client.ts';
import {
  ACCESS_KEY,
  control,
  createDatabase,
  eventually,
  fault,
  newNumber,
  placementBody,
  SECRET_KEY,
  send,
  start,
  SUCCESS,
} from '../support.ts';

/** The login, and the common properties of every page. */
const { client, inDatabase, merchant, sandbox, settings } = await startConsole();
const PAGES = [
  '/console',
  '/console/orders',
  '/console/deliveries',
  '/console/advertisements',
  '/console/fees',
  '/console/tokens',
  '/console/account',
  '/console/faults',
  '/console/settings',
  '/console/statement',
  '/console/events',
];

describe('the log-in', () => {
  test('every page leads there without a session, and the front door leads to the console', async () => {
    const front = await request(sandbox, '/');
    expect([front.status, front.headers.get('location')]).toEqual([303, '/console']);
    for (const path of [...PAGES, '/console/statement/export']) {
      const answer = await request(sandbox, path);
      expect([answer.status, answer.headers.get('location')]).toEqual([
        303,
        `/console/login?ahead=${encodeURIComponent(path)}`,
      ]);
    }
    const posted = await request(sandbox, '/console/tokens', { method: 'POST' });
    expect([posted.status, posted.headers.get('location')]).toEqual([303, '/console/login?ahead=%2Fconsole']);
  });

  test('the cookie is for the console only, hidden from scripts, and sent by no other site', async () => {
    const answer = await tryPassword(sandbox, CONSOLE_PASSWORD);
    expect(answer.headers.get('location')).toBe('/console');
    expect(answer.headers.getSetCookie()[0]).toMatch(
      /^sandbox_console_\d+=[\w-]{43}; Max-Age=43200; Path=\/console; .*HttpOnly; SameSite=Strict$/,
    );
    const https = await tryPassword(sandbox, CONSOLE_PASSWORD, { 'x-forwarded-proto': 'https' });
    expect(https.headers.getSetCookie()[0]).toContain('; Secure');
  });

  test('leads on only to pages of the console', async () => {
    for (const [ahead, to] of [
      ['/console/orders?q=a', '/console/orders?q=a'],
      ['https://example.com/', '/console'],
      ['//example.com', '/console'],
      ['/console@example.com', '/console'],
      ['/console\r\nx: y', '/console'],
    ] as const) {
      const body = new URLSearchParams({ password: CONSOLE_PASSWORD, ahead });
      const answer = await request(sandbox, '/console/login', { method: 'POST', body });
      expect(answer.headers.get('location')).toBe(to);
    }
  });

  test('neither password nor cookie is in the database', async () => {
    const [password] = await inDatabase<{ hash: Buffer }>('SELECT hash FROM sandbox.console_password');
    const sessions = await inDatabase('SELECT token_sha256 FROM sandbox.console_session');
    expect(password!.hash).toHaveLength(32);
    expect(JSON.stringify([password, sessions])).not.toContain(client.cookie.split('=')[1]);
  });

  test('a session ends when it is logged out of, and its cookie means nothing any more', async () => {
    const other = await logIn(sandbox);
    expect((await other.post('/console/logout')).headers.get('location')).toBe('/console/login');
    expect((await other.get('/console')).status).toBe(303);
    expect((await client.get('/console')).status).toBe(200);
  });

  test('a form from elsewhere is refused and does nothing', async () => {
    const { cookie, formToken } = client;
    const attempts: RequestInit[] = [
      { body: new URLSearchParams({ frozen: 'true' }), headers: { cookie } },
      { body: new URLSearchParams({ frozen: 'true', formToken: '0'.repeat(64) }), headers: { cookie } },
      { body: new URLSearchParams({ frozen: 'true', formToken }), headers: { cookie, 'sec-fetch-site': 'cross-site' } },
      { body: new URLSearchParams({ frozen: 'true', formToken }), headers: { cookie, 'sec-fetch-site': 'same-site' } },
      { body: JSON.stringify({ frozen: 'true', formToken }), headers: { cookie, 'content-type': 'application/json' } },
    ];
    for (const init of attempts) {
      const answer = await request(sandbox, '/console/account', { method: 'POST', ...init });
      expect(answer.status).toBe(403);
    }
    expect((await settings())['frozen']).toBe(false);
  });

  test('the sixth wrong password in a quarter of an hour is refused unseen, and so is the right one then', async () => {
    const other = await start(await createDatabase(), CONSOLE_ENV);
    const wrong = Array.from({ length: 5 }, () => tryPassword(other, 'wrong'));
    expect((await Promise.all(wrong)).map((answer) => answer.status)).toEqual([403, 403, 403, 403, 403]);
    const refused = await tryPassword(other, CONSOLE_PASSWORD);
    expect([refused.status, refused.headers.getSetCookie()]).toEqual([429, []]);
  });

  test('the limit is for an address, is over after its time, and is lifted by the right password', () => {
    let now = 0;
    const limit = loginLimit(() => now);
    const tries = (address: string, times: number): boolean[] =>
      Array.from({ length: times }, () => limit.admit(address));
    expect(tries('a', 6)).toEqual([true, true, true, true, true, false]);
    expect(limit.admit('b')).toBe(true);
    now = 15 * 60_000;
    expect(limit.admit('a')).toBe(true);
    limit.forgive('a');
    expect(tries('a', 6).at(-1)).toBe(false);
  });
});

test('without a configured password one is made and shown once; another one ends all sessions', async () => {
  const url = await createDatabase();
  const first = await start(url);
  expect(first.newConsolePassword).toMatch(/^[\w-]{24}$/);
  const session = await logIn(first, first.newConsolePassword!);
  await first.close();
  // The same cookie, under its name at another port.
  const headersAt = ({ url: at }: Sandbox) => ({ cookie: session.cookie.replace(/_\d+=/, `_${new URL(at).port}=`) });
  const second = await start(url);
  expect(second.newConsolePassword).toBeNull();
  expect((await request(second, '/console', { headers: headersAt(second) })).status).toBe(200);
  await second.close();
  const third = await start(url, CONSOLE_ENV);
  expect((await request(third, '/console', { headers: headersAt(third) })).status).toBe(303);
  expect((await tryPassword(third, first.newConsolePassword!)).status).toBe(403);
  expect((await tryPassword(third, CONSOLE_PASSWORD)).status).toBe(303);
});

describe('every page', () => {
  test.each(PAGES)('%s needs no script, is not stored, and names itself', async (path) => {
    const { status, headers, text } = await client.get(path);
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none';style-src 'self';form-action 'self';base-uri 'none';frame-ancestors 'none'",
    );
    expect(headers.get('cache-control')).toBe('no-store');
    expect(text).not.toMatch(/<script| style=| on[a-z]+=/i);
    expect(text).toContain(`<a href="${path}" aria-current="page">`);
    expect(text.match(/<h1>/g)).toHaveLength(1);
    expect(text).not.toContain(SECRET_KEY);
  });

  test('what is not there is said on a page', async () => {
    for (const path of ['/console/nothing', '/console/orders/999999', '/console/orders/x', '/console/orders/1e3']) {
      const { status, text } = await client.get(path);
      expect([path, status]).toEqual([path, 404]);
      expect(text).toContain('role="alert"');
    }
  });
});

describe('API tokens', () => {
  const secretIn = (text: string): string | undefined => /name="secretKey" value="([^"]+)"/.exec(text)?.[1];
  const accessIn = (text: string): string | undefined => /name="accessKey" value="([^"]+)"/.exec(text)?.[1];

  async function placeWith(accessKey: string, secretKey: string): Promise<string> {
    const timestamp = String(Date.now());
    const signature = createHmac('sha256', secretKey).update(`${accessKey}_${timestamp}`).digest('hex').toUpperCase();
    return (await send(sandbox, placementBody(merchant), { access_key: accessKey, timestamp, signature })).statusCode;
  }

  test('a new key is shown once, places orders, and fails from the moment it is disabled', async () => {
    const made = await client.post('/console/tokens');
    const [accessKey, secretKey] = [accessIn(made.text)!, secretIn(made.text)!];
    expect([accessKey.length, secretKey.length]).toEqual([32, 64]);
    expect(await placeWith(accessKey, secretKey)).toBe('SUCCESS');
    const list = (await client.get('/console/tokens')).text;
    expect(list).toContain(accessKey);
    expect(list).not.toContain(secretKey);
    expect((await client.post(`/console/tokens/${accessKey}/disable`)).status).toBe(303);
    expect(await placeWith(accessKey, secretKey)).toBe('ACCESS_KEY_ERROR');
    expect((await client.post(`/console/tokens/${accessKey}/disable`)).status).toBe(409);
  });

  test('a secret is viewed again only with the password', async () => {
    const path = `/console/tokens/${ACCESS_KEY}/reveal`;
    const wrong = await client.post(path, { password: 'wrong' });
    expect([wrong.status, secretIn(wrong.text)]).toEqual([403, undefined]);
    const right = await client.post(path, { password: CONSOLE_PASSWORD });
    expect([right.status, secretIn(right.text)]).toEqual([200, SECRET_KEY]);
    expect(right.headers.get('cache-control')).toBe('no-store');
  });

  test('rotation leaves the old key in force for the overlap', async () => {
    const other = await start(await createDatabase(), CONSOLE_ENV);
    const session = await logIn(other);
    expect((await session.post('/console/tokens/rotate', { overlap: 'soon' })).status).toBe(400);
    const rotated = await session.post('/console/tokens/rotate', { overlap: '1h' });
    expect(secretIn(rotated.text)).toHaveLength(64);
    expect(rotated.text).toContain('active until its end');
    expect((await send(other, placementBody(merchant))).statusCode).toBe('SUCCESS');
    await session.post('/console/tokens/rotate', { overlap: '0s' });
    expect((await send(other, placementBody(merchant))).statusCode).toBe('ACCESS_KEY_ERROR');
  });
});

test('hostile text is text on every page it comes to', async () => {
  const hostile = `<script>alert(1)</script>"'&\u202e${'x'.repeat(60)}`;
  const number = `${hostile.slice(0, 60)}${newNumber()}`;
  merchant.answer = () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: hostile });
  const url = `${merchant.url}?q=<script>alert(1)</script>`;
  const placed = await send(
    sandbox,
    placementBody(merchant, {
      externalOrderNumber: JSON.stringify(number),
      payerRealName: JSON.stringify(hostile),
      callbackUrl: JSON.stringify(url),
    }),
  );
  expect(placed.statusCode).toBe('SUCCESS');
  await client.post('/console/advertisements', {
    currencyCode: 'TWD',
    unitPrice: '90',
    seller: hostile.slice(0, 64),
    paymentMethods: hostile.slice(0, 40),
    active: 'true',
  });
  await control(sandbox, 'POST', `/orders/${encodeURIComponent(number)}/pay`, { immediately: true });
  // Until the end: one that is used up by the first delivery is no longer shown.
  await fault(sandbox, number, 'unreadable', { raw: hostile }, null);
  const [order] = (await control(sandbox, 'GET', `/orders/${encodeURIComponent(number)}`)).body.orders as {
    id: number;
  }[];
  await eventually(async () => {
    const { body } = await control(sandbox, 'GET', `/orders/${encodeURIComponent(number)}`);
    return body.orders[0].deliveries[0]?.attempts[0]?.outcome === 'REFUSED' ? true : undefined;
  });
  merchant.answer = () => SUCCESS;
  const day = new Date().toISOString().slice(0, 10);
  const shown = [
    '/console/orders',
    '/console/deliveries',
    '/console/advertisements',
    '/console/events',
    '/console/faults',
    `/console/orders/${order!.id}`,
    `/console/orders?q=${encodeURIComponent(hostile)}`,
    `/console/faults?order=${encodeURIComponent(hostile)}`,
    `/console/events?order=${encodeURIComponent(hostile)}`,
    `/console/statement?day=${day}`,
  ];
  for (const path of shown) {
    const { text } = await client.get(path);
    expect([path, text.includes('&lt;script&gt;'), text.includes('<script')]).toEqual([path, true, false]);
  }
  const login = await request(sandbox, `/console/login?ahead=${encodeURIComponent(hostile)}`);
  expect(login.text).not.toContain('<script');
});
