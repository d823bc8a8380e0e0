import { createHmac } from 'node:crypto';
import pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { loginLimit } from '../../sandbox/console/login-limit.ts';
import { FAULT_CATALOGUE } from '../../sandbox/faults/faults.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import {
  CONSOLE_PASSWORD,
  type ConsoleClient,
  fieldsOf,
  formsTo,
  logIn,
  request,
  tryPassword,
} from './console-client.ts';
import {
  ACCESS_KEY,
  control,
  createDatabase,
  eventually,
  fault,
  type Merchant,
  newNumber,
  orders,
  pay,
  place,
  placementBody,
  SECRET_KEY,
  send,
  settled,
  start,
  startMerchant,
  SUCCESS,
} from './support.ts';

const ENV = { SANDBOX_CONSOLE_PASSWORD: CONSOLE_PASSWORD, SANDBOX_AUTO_RELEASE: 'no', SANDBOX_RELEASE_DELAY: '0s' };
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

let databaseUrl: string;
let sandbox: Sandbox;
let merchant: Merchant;
let client: ConsoleClient;

beforeAll(async () => {
  databaseUrl = await createDatabase();
  merchant = await startMerchant();
  sandbox = await start(databaseUrl, ENV);
  client = await logIn(sandbox);
});

const idOf = async (number: string): Promise<number> => (await orders(sandbox, number))[0]!.id;
const settings = async (): Promise<Record<string, unknown>> =>
  (await control(sandbox, 'GET', '/settings')).body as Record<string, unknown>;

async function inDatabase<T extends pg.QueryResultRow>(sql: string, url = databaseUrl): Promise<T[]> {
  const database = new pg.Client({ connectionString: url });
  await database.connect();
  try {
    return (await database.query<T>(sql)).rows;
  } finally {
    await database.end();
  }
}

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
    const other = await start(await createDatabase(), ENV);
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
  // The same cookie, as it is called at another port.
  const headersAt = ({ url: at }: Sandbox) => ({ cookie: session.cookie.replace(/_\d+=/, `_${new URL(at).port}=`) });
  const second = await start(url);
  expect(second.newConsolePassword).toBeNull();
  expect((await request(second, '/console', { headers: headersAt(second) })).status).toBe(200);
  await second.close();
  const third = await start(url, ENV);
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
    const other = await start(await createDatabase(), ENV);
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

describe('orders', () => {
  test('are found by number, payer and transaction code, and told apart by state', async () => {
    const [one, two] = [await place(sandbox, merchant), newNumber()];
    await send(
      sandbox,
      placementBody(merchant, { externalOrderNumber: `"${two}"`, payerRealName: '"Zhang 100%_\\\\ San"' }),
    );
    await pay(sandbox, one);
    const code = (await orders(sandbox, one))[0]!.transactions[0]!.transactionCode;
    const found = async (query: string): Promise<boolean[]> => {
      const { text } = await client.get(`/console/orders?${query}`);
      return [text.includes(one), text.includes(two)];
    };
    expect(await found(`q=${one.toUpperCase()}`)).toEqual([true, false]);
    expect(await found(`q=${encodeURIComponent('100%_\\')}`)).toEqual([false, true]);
    expect(await found(`q=${code}`)).toEqual([true, false]);
    expect(await found('q=100__')).toEqual([false, false]);
    expect(await found('state=WAITING')).toEqual([false, true]);
    expect(await found('state=nonsense&before=x&q=%00')).toEqual([true, true]);
  });

  test('are paid, released and paid twice by hand, and the timeline tells it', async () => {
    const number = await place(sandbox, merchant);
    const path = `/console/orders/${await idOf(number)}`;
    expect((await client.post(`${path}/release`)).status).toBe(409);
    expect((await client.post(`${path}/pay`)).headers.get('location')).toBe(`${path}?done=paid`);
    expect((await client.post(`${path}/cancel`)).status).toBe(409);
    // Nothing but the button releases it, although no delay is set: what is due is released, and it is not.
    const due = await place(sandbox, merchant);
    await client.post(`/console/orders/${await idOf(due)}/pay`);
    await inDatabase(`UPDATE sandbox.buy_order SET release_at = now() WHERE external_order_number = '${due}'`);
    await eventually(async () => ((await orders(sandbox, due))[0]!.state === 'PAID' ? undefined : true));
    expect((await orders(sandbox, number))[0]!.state).toBe('PAID');
    await client.post(`${path}/release`);
    await settled(sandbox, number);
    await client.post(`${path}/pay-again`);
    expect(await merchant.received(number, 2)).toHaveLength(2);
    await settled(sandbox, number);
    const { text } = await client.get(path);
    const steps = [
      'A placement was received',
      'The order was made',
      'The customer has paid',
      'The seller has released',
    ];
    const places = steps.map((step) => text.indexOf(step));
    expect(places.every((at, index) => at > (places[index - 1] ?? 0))).toBe(true);
    expect(text.match(/acknowledged at first delivery/g)).toHaveLength(2);
  });

  test('are cancelled by hand, and paid late once they have expired', async () => {
    const cancelled = await place(sandbox, merchant);
    await client.post(`/console/orders/${await idOf(cancelled)}/cancel`);
    expect((await orders(sandbox, cancelled))[0]!.state).toBe('CANCELLED');
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
    const late = await place(sandbox, merchant);
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: null });
    await eventually(async () => ((await orders(sandbox, late))[0]!.state === 'EXPIRED' ? true : undefined));
    const path = `/console/orders/${await idOf(late)}`;
    expect((await client.get(path)).text).toContain('Pay late as customer');
    await client.post(`${path}/pay`);
    expect((await orders(sandbox, late))[0]!.state).toBe('PAID');
  });
});

test('a callback that was refused shows its answer and its next attempt, and "retry now" sends it at once', async () => {
  merchant.answer = () => ({ status: 500, body: '<b>out of order</b>' });
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const delivery = await eventually(async () =>
    (await orders(sandbox, number))[0]!.deliveries.find((each) => each.attempts[0]?.outcome === 'REFUSED'),
  );
  const path = `/console/orders/${await idOf(number)}`;
  for (const page of [path, '/console/deliveries', '/console/deliveries?state=PENDING']) {
    const { text } = await client.get(page);
    expect(text).toMatch(/first delivery refused, retry 1 of 16 next, next attempt at 2/);
    expect(text).toContain('HTTP 500');
    expect(text).toContain('&lt;b&gt;out of order&lt;/b&gt;');
  }
  merchant.answer = () => SUCCESS;
  const answer = await client.post(`/console/deliveries/${delivery.id}/retry`, { back: path });
  expect(answer.headers.get('location')).toBe(`${path}?done=retried`);
  await settled(sandbox, number);
  const { text } = await client.get(path);
  expect(text).toContain('acknowledged at retry 1 of 16');
  expect(
    (await client.post(`/console/deliveries/${delivery.id}/retry`, { back: 'https://example.com' })).headers.get(
      'location',
    ),
  ).toBe('/console/deliveries?done=retried');
  expect((await client.post('/console/deliveries/999999/retry')).status).toBe(409);
});

describe('misbehaviour', () => {
  test('every kind of the catalogue has a form that can be sent, with a description beside it', async () => {
    const page = (await client.get('/console/faults')).text;
    const forms = formsTo(page, '/console/faults').map(fieldsOf);
    expect(forms.map((fields) => fields['kind'])).toEqual(FAULT_CATALOGUE.map((each) => each.kind));
    const scope = newNumber();
    for (const fields of forms) {
      const answer = await client.post('/console/faults', { ...fields, scope });
      expect([fields['kind'], answer.status]).toEqual([fields['kind'], 303]);
    }
    const armed = (await control(sandbox, 'GET', '/faults')).body.faults as {
      scope: string;
      kind: string;
      params: object;
    }[];
    expect(armed).toHaveLength(FAULT_CATALOGUE.length);
    expect(armed.every((each) => each.scope === scope)).toBe(true);
    for (const { kind, params } of armed) {
      const regular = await control(sandbox, 'POST', '/faults', { scope, kind, params });
      expect([kind, regular.status]).toEqual([kind, 201]);
    }
    await client.post('/console/faults/remove');
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });

  test('is armed for one order, acts on it alone, and is removed by a button', async () => {
    const number = newNumber();
    await client.post('/console/faults', { kind: 'frozen', scope: number, remaining: '' });
    expect((await client.get('/console/faults')).text).toContain('until removed');
    expect(await place(sandbox, merchant)).toBeTruthy();
    await expect(place(sandbox, merchant, number)).rejects.toThrow('ACCOUNT_STATUS_ERROR');
    const [{ id }] = (await control(sandbox, 'GET', '/faults')).body.faults as [{ id: number }];
    await client.post(`/console/faults/${id}/remove`);
    expect(await place(sandbox, merchant, number)).toBe(number);
  });

  test('is refused with a sentence if it makes no sense', async () => {
    for (const fields of [
      { kind: 'nonsense' },
      { kind: '__proto__' },
      { kind: 'missing', remaining: '0' },
      { kind: 'missing', scope: 'x'.repeat(129) },
      { kind: 'slow', 'params.ms': 'soon' },
      { kind: 'changedBody', 'params.data': '{' },
    ]) {
      const { status, text } = await client.post('/console/faults', { remaining: '1', ...fields });
      expect([fields, status]).toEqual([fields, 400]);
      expect(text).toContain('role="alert"');
    }
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });
});

describe('settings', () => {
  const saved = async (changes: Record<string, string>) => {
    const [form] = formsTo((await client.get('/console/settings')).text, '/console/settings');
    return client.post('/console/settings', { ...fieldsOf(form!), ...changes });
  };

  test('a form sent untouched changes nothing, not even where the values come from', async () => {
    const before = await settings();
    expect((await saved({})).status).toBe(303);
    expect(await settings()).toEqual(before);
    expect(await inDatabase(`SELECT name FROM sandbox.setting WHERE name NOT IN ('frozen')`)).toEqual([]);
  });

  test('change at once, and take their configured values again', async () => {
    await saved({ speed: '60', retryReading: 'offsets', releaseDelayMs: '90s', acks: 'text:OK\r\njson:{"a":1}' });
    expect(await settings()).toMatchObject({
      speed: 60,
      retryReading: 'offsets',
      releaseDelayMs: 90_000,
      acks: ['text:OK', 'json:{"a":1}'],
    });
    await client.post('/console/settings/reset');
    expect(await settings()).toMatchObject({ speed: 1, retryReading: 'gaps', releaseDelayMs: 0 });
  });

  test.each([
    [{ speed: '0' }, 'Speed must be more than 0.'],
    [{ speed: '' }, 'Speed must be a number.'],
    [{ retryReading: 'sideways' }, 'Retry table read as must be one of gaps, offsets.'],
    [{ orderLifetimeMs: 'soon' }, 'Time to pay must be a duration such as 500ms, 2s, 30m, 73h.'],
    [{ acks: '' }, 'Accepted success bodies must have at least 1 entries.'],
  ] as [Record<string, string>, string][])('%o is refused, and says so', async (change, said) => {
    const before = await settings();
    const { status, text } = await saved(change);
    expect(status).toBe(400);
    expect(text).toContain(said);
    expect(await settings()).toEqual(before);
  });
});

test('a frozen account refuses placements until it is normal again', async () => {
  await client.post('/console/account', { frozen: 'true' });
  expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('ACCOUNT_STATUS_ERROR');
  expect((await client.get('/console')).text).toContain('frozen');
  await client.post('/console/account', { frozen: 'false' });
  expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
});

test('a fee is set, shown with the order, and refused if it is none', async () => {
  const fees = { percent: '1', fixed: '0', borneBy: 'merchant', report: 'net' };
  expect((await client.post('/console/fees', { ...fees, percent: 'much' })).status).toBe(400);
  await client.post('/console/fees', fees);
  const number = await place(sandbox, merchant);
  await client.post('/console/fees', { ...fees, percent: '0' });
  const { text } = await client.get(`/console/orders/${await idOf(number)}`);
  expect(text).toContain('50.00 MTC kept back');
  expect(text).toMatch(/Told in the callback<\/dt>\s*<dd>4,950\.00 MTC/);
});

test('an offer is added, changed and withdrawn', async () => {
  const fields = {
    currencyCode: 'HKD',
    unitPrice: '7.1',
    remaining: '10',
    seller: 'Mine',
    paymentMethods: 'FPS, cash',
  };
  const path = '/console/advertisements';
  expect((await client.post(path, { ...fields, minPrice: '5', maxPrice: '4', active: 'true' })).status).toBe(400);
  expect((await client.post(path, { ...fields, unitPrice: '-1', active: 'true' })).status).toBe(400);
  expect((await client.post(path, { ...fields, active: 'true' })).status).toBe(303);
  const offers = (await control(sandbox, 'GET', '/advertisements')).body.advertisements as {
    code: string;
    seller: string;
  }[];
  const { code } = offers.find((offer) => offer.seller === 'Mine')!;
  const small = { currencyCode: '"HKD"', mtcAmount: '4' };
  expect((await send(sandbox, placementBody(merchant, small))).data!.advertisementCode).toBe(code);
  expect((await client.get(path)).text).toMatch(/6 MTC<div class="quiet">4\.00 reserved/);
  await client.post(`${path}/${code}`, { ...fields, active: 'false' });
  expect((await send(sandbox, placementBody(merchant, small))).data!.advertisementCode).not.toBe(code);
  expect((await client.post(`${path}/nothing`, { ...fields, active: 'true' })).status).toBe(404);

  await client.post(`${path}/prices`, { CNY: '7.2', HKD: '7.8', TWD: 'none' });
  expect((await send(sandbox, placementBody(merchant, { currencyCode: '"TWD"' }))).statusCode).toBe('NO_ADVERTISEMENT');
  await client.post(`${path}/prices`, { CNY: '7.2', HKD: '7.8', TWD: '32' });
});

test('the statement of a day is shown, and handed out as CSV and JSON', async () => {
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const finished = (await orders(sandbox, number))[0]! as unknown as { releasedAt: string };
  const day = finished.releasedAt.slice(0, 10);
  expect((await client.get(`/console/statement?day=${day}`)).text).toContain(number);
  const csv = await client.get(`/console/statement/export?day=${day}&format=csv`);
  expect(csv.headers.get('content-type')).toContain('text/csv');
  expect(csv.headers.get('content-disposition')).toContain(`statement-${day}.csv`);
  expect(csv.text).toContain(`${number},`);
  const lines = (
    JSON.parse((await client.get(`/console/statement/export?day=${day}&format=json`)).text) as {
      lines: { externalOrderNumber: string }[];
    }
  ).lines;
  expect(lines.some((line) => line.externalOrderNumber === number)).toBe(true);
  for (const wrong of ['2026', '2026-02-30', '%00']) {
    expect((await client.get(`/console/statement?day=${wrong}`)).status).toBe(wrong === '%00' ? 200 : 400);
  }
});

test('the event log is read by order number and by kind', async () => {
  const number = await place(sandbox, merchant);
  const { text } = await client.get(`/console/events?order=${number}&kind=order`);
  expect(text).toContain('order.made');
  expect(text).not.toContain('placement.received');
});

test('lists go on where a page ends', async () => {
  const other = await start(await createDatabase(), ENV);
  const session = await logIn(other);
  for (let made = 0; made < 51; made += 1) await place(other, merchant, `nr-${String(made).padStart(3, '0')}`);
  const first = (await session.get('/console/orders')).text;
  expect([first.includes('nr-050'), first.includes('nr-001'), first.includes('nr-000')]).toEqual([true, true, false]);
  const older = /href="(\/console\/orders\?[^"]+)">Older/.exec(first)![1]!.replaceAll('&amp;', '&');
  expect((await session.get(older)).text).toContain('nr-000');
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
