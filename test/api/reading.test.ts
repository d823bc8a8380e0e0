import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { createApiKey, type Scope } from '../../database/queries/api-keys.ts';
import { startEngine } from '../support/engine.ts';
import { byHand } from '../support/database.ts';
import { expectRefusal, fault as sandboxFault, memoryLog, stored } from './evidence.ts';
import { lineTo, withApi } from './parts.ts';

const engine = await startEngine({ env: { TEMPORAL_UI_URL: 'http://127.0.0.1:8233' } });
const get = (path: string) => engine.call('GET', path);
const keyOf = (name: string, ...scopes: Scope[]) => createApiKey(engine.db.owner, { name, scopes });
/** A key of a new caller: no caller may hold three. */
const freshKey = (...scopes: Scope[]) => keyOf(`fresh-${randomUUID()}`, ...scopes);
const change = (sql: string, name: string) =>
  engine.db.owner.query(`update engine.api_key set ${sql} where name = $1 and revoked_at is null`, [name]);

describe('access', () => {
  const routes = [
    ['POST', '/v1/deposits', 'deposits:create'],
    ['GET', '/v1/deposits', 'deposits:read'],
    ['GET', '/v1/deposits/any', 'deposits:read'],
    ['GET', '/v1/wallets/any', 'deposits:read'],
  ] as const;
  const ask = (method: string, path: string, headers: Record<string, string>) =>
    engine.call(method, path, method === 'POST' ? engine.body() : undefined, { key: null, headers });

  test.each(routes)(
    '%s %s is refused without a living key, always in the same words, and stores nothing',
    async (method, path) => {
      const [revoked, expired, gone] = [
        await keyOf('revoked', 'deposits:create', 'deposits:read'),
        await keyOf('expired', 'deposits:create', 'deposits:read'),
        await keyOf('gone', 'deposits:create', 'deposits:read'),
      ];
      await change('revoked_at = clock_timestamp()', 'revoked');
      await change("expires_at = clock_timestamp() - interval '1 second'", 'expired');
      await change('revoked_at = clock_timestamp()', 'gone');
      const before = await stored(engine);
      const answers = await Promise.all(
        [
          undefined,
          '',
          'Bearer',
          'Bearer ',
          'Bearer short',
          'Bearer x y',
          `Bearer ${'x'.repeat(60)}`,
          `Bearer ${'x'.repeat(5_000)}`,
          `Bearer ${revoked}\u00a0`,
          'Basic dGVzdDp0ZXN0',
          `Bearer ${revoked}`,
          `Bearer ${expired}`,
          `Bearer ${gone}`,
          `bearer ${revoked}`,
          revoked,
        ].map((value) => ask(method, path, value === undefined ? {} : { authorization: value })),
      );
      for (const answer of answers) {
        expectRefusal(answer, 401, 'unauthorized');
        expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      }
      const words = answers.map(({ body }) => JSON.stringify({ ...body, requestId: '' }));
      expect(new Set(words).size).toBe(1);
      expect(await stored(engine)).toEqual(before);
    },
  );

  test.each(routes)('%s %s needs the scope %s and no other will do', async (method, path, scope) => {
    const others = (['deposits:create', 'deposits:read', 'audit:read'] as const).filter((one) => one !== scope);
    const before = await stored(engine);
    for (const scopes of [others, ['reviews:decide'] as const]) {
      const forbidden = await ask(method, path, { authorization: `Bearer ${await freshKey(...scopes)}` });
      expectRefusal(forbidden, 403, 'forbidden');
      expect(forbidden.body.detail).toContain(scope);
    }
    expect(await stored(engine)).toEqual(before);
    const allowed = await ask(method, path, { authorization: `Bearer ${await freshKey(scope)}` });
    expect([200, 201, 404]).toContain(allowed.status);
  });

  test('a key works until it expires and is refused from then on', async () => {
    const key = await keyOf('short-lived', 'deposits:read');
    await change("expires_at = clock_timestamp() + interval '1 hour'", 'short-lived');
    const headers = { authorization: `Bearer ${key}` };
    expect((await ask('GET', '/v1/deposits', headers)).status).toBe(200);
    await change('expires_at = clock_timestamp()', 'short-lived');
    expectRefusal(await ask('GET', '/v1/deposits', headers), 401, 'unauthorized');
  });

  test('no key is stored as it is', async () => {
    const key = await keyOf('hidden', 'deposits:read');
    const { rows } = await engine.db.owner.query('select k::text as row from engine.api_key k');
    expect(rows.map((row) => row.row).join()).toContain('hidden');
    expect(rows.map((row) => row.row).join()).not.toContain(key);
  });
});

describe('one deposit', () => {
  const FIELDS = [
    'externalOrderNumber',
    'wallet',
    'state',
    'final',
    'refusal',
    'late',
    'buyCoinMode',
    'mtcAmount',
    'totalPrice',
    'currencyCode',
    'redirectUrl',
    'advertisementCode',
    'createdAt',
    'expiresAt',
    'listeningUntil',
    'transactionCode',
    'standing',
    'creditedAmount',
    'credits',
    'otherPayments',
    'attempts',
    'review',
    'workflowId',
    'webUi',
  ];
  const RFC_3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

  test('is shown with exactly the documented fields, before and after its payment', async () => {
    const created = await engine.create({ wallet: 'wallet-shown', payerRealName: 'Wang Xiaoming' });
    const { externalOrderNumber } = created.body;
    expect(Object.keys(created.body)).toEqual(FIELDS);
    expect(created.body).toEqual({
      externalOrderNumber,
      wallet: 'wallet-shown',
      state: 'AWAITING_PAYMENT',
      final: false,
      refusal: null,
      late: false,
      buyCoinMode: 'MtcAmount',
      mtcAmount: '5000',
      totalPrice: null,
      currencyCode: 'CNY',
      redirectUrl: expect.stringMatching(/^http/),
      advertisementCode: expect.stringMatching(/./),
      createdAt: expect.stringMatching(RFC_3339_UTC),
      expiresAt: expect.stringMatching(RFC_3339_UTC),
      listeningUntil: expect.stringMatching(RFC_3339_UTC),
      transactionCode: null,
      standing: 'none',
      creditedAmount: null,
      credits: [],
      otherPayments: [],
      attempts: { count: 0, lastAt: null, nextExpectedAt: null },
      review: null,
      workflowId: `deposit:${externalOrderNumber}`,
      webUi: `http://127.0.0.1:8233/namespaces/${engine.temporal.namespace}/workflows/deposit%3A${externalOrderNumber}`,
    });
    const windows = (body: { expiresAt: string; listeningUntil: string }) =>
      Date.parse(body.listeningUntil) - Date.parse(body.expiresAt);
    expect(windows(created.body)).toBe(73 * 3_600_000);

    await engine.pay(externalOrderNumber);
    const credited = await engine.untilState(externalOrderNumber, 'CREDITED');
    expect(Object.keys(credited)).toEqual(FIELDS);
    expect(credited).toEqual({
      ...created.body,
      state: 'CREDITED',
      final: true,
      transactionCode: expect.stringMatching(/^AT/),
      standing: 'credited',
      creditedAmount: '5000',
      credits: [
        {
          postingId: expect.stringMatching(/^\d+$/),
          amount: '5000',
          rest: null,
          wallet: 'wallet-shown',
          transactionCode: credited.transactionCode,
          how: 'machine',
          at: expect.stringMatching(RFC_3339_UTC),
          reversed: null,
        },
      ],
      attempts: { count: 1, lastAt: expect.stringMatching(RFC_3339_UTC), nextExpectedAt: null },
    });
    expect(JSON.stringify(credited)).not.toContain('Xiaoming');
  });

  test('that was refused says why, as its create was told, wherever it is read', async () => {
    const wallet = 'wallet-refused';
    const body = engine.body({ wallet });
    const externalOrderNumber = String(body['externalOrderNumber']);
    await sandboxFault(engine, externalOrderNumber, 'status', { statusCode: 'NO_ADVERTISEMENT' });
    const told = await engine.call('POST', '/v1/deposits', body);
    expect(told.status).toBe(422);
    const refused = await engine.deposit(externalOrderNumber);
    expect(refused).toMatchObject({
      state: 'PLACEMENT_REFUSED',
      final: true,
      refusal: { code: 'NO_ADVERTISEMENT', message: told.body.detail },
      standing: 'none',
      creditedAmount: null,
      credits: [],
    });
    expect((await get(`/v1/deposits?wallet=${wallet}`)).body.items).toEqual([refused]);
  });

  test.each([
    ['unknown', '/v1/deposits/never-heard-of', 404, 'not_found'],
    ['with an impossible number', '/v1/deposits/a%20b', 400, 'invalid_request'],
    ['with a number that is too long', `/v1/deposits/${'x'.repeat(65)}`, 400, 'invalid_request'],
    ['with a broken address', '/v1/deposits/%ff', 400, 'invalid_request'],
    ['with a NUL in its number', '/v1/deposits/a%00b', 400, 'invalid_request'],
    ['up a folder', '/v1/deposits/..%2fwallets', 400, 'invalid_request'],
  ])('%s is refused', async (_, path, status, code) => {
    expectRefusal(await get(path), status, code);
  });
});

describe('the list of deposits', () => {
  const WALLET = 'wallet-listed';
  const COUNT = 7;
  const numbers: string[] = [];

  beforeAll(async () => {
    for (let i = 0; i < COUNT; i += 1) {
      const { externalOrderNumber } = (await engine.create({ wallet: WALLET })).body;
      numbers.push(externalOrderNumber);
    }
    // Three of one moment: the cursor must distinguish them.
    await engine.db.owner.query(
      `update engine.deposit set created_at = '2026-01-01T00:00:00.000001Z' where external_order_number = any($1)`,
      [numbers.slice(0, 3)],
    );
    await engine.pay(numbers[0]!);
    await engine.untilState(numbers[0]!, 'CREDITED');
  });

  async function pages(query: string, between: () => Promise<unknown> = () => Promise.resolve()): Promise<string[][]> {
    const found: string[][] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const answer = await get(`/v1/deposits?${query}${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`);
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.body)).toEqual(['items', 'nextCursor']);
      found.push(answer.body.items.map((item: { externalOrderNumber: string }) => item.externalOrderNumber));
      cursor = answer.body.nextCursor;
      await between();
    }
    return found;
  }

  test.each([1, 2, 3, 7, 200])(
    'is paged through by %d with every deposit exactly once, newest first',
    async (limit) => {
      const found = await pages(`wallet=${WALLET}&limit=${limit}`);
      expect(found.flat().toSorted()).toEqual(numbers.toSorted());
      expect(found.every((page) => page.length <= limit && page.length > 0)).toBe(true);
      const newestFirst = [...numbers.slice(3).toReversed(), ...numbers.slice(0, 3).toSorted(bytewise).toReversed()];
      expect(found.flat()).toEqual(newestFirst);
    },
  );

  test('shows each deposit as it is shown alone', async () => {
    const { items } = (await get(`/v1/deposits?wallet=${WALLET}&limit=2`)).body;
    expect(items).toEqual([await engine.deposit(numbers[6]!), await engine.deposit(numbers[5]!)]);
  });

  test('keeps its place while new deposits come in', async () => {
    const found = await pages(`wallet=${WALLET}&limit=3`, async () => {
      numbers.push((await engine.create({ wallet: WALLET })).body.externalOrderNumber);
    });
    expect(found.flat().toSorted()).toEqual(numbers.slice(0, COUNT).toSorted());
  });

  test('is filtered by state and by wallet, and by both', async () => {
    expect(await pages(`wallet=${WALLET}&state=CREDITED`)).toEqual([[numbers[0]]]);
    expect((await pages('state=CREDITED')).flat()).toContain(numbers[0]);
    expect((await pages('state=AWAITING_PAYMENT')).flat()).not.toContain(numbers[0]);
    expect((await pages(`wallet=${WALLET}&state=AWAITING_PAYMENT`)).flat().toSorted()).toEqual(
      numbers.slice(1).toSorted(),
    );
    expect(await pages('wallet=nobody')).toEqual([[]]);
  });

  test('can be kept to several states, repeated or separated by commas', async () => {
    const { externalOrderNumber, wallet } = await engine.place({ wallet: 'wallet-states' });
    const listed = async (query: string) =>
      (await get(`/v1/deposits?wallet=${wallet}&${query}`)).body.items.map(
        (one: { externalOrderNumber: string }) => one.externalOrderNumber,
      );
    for (const query of [
      'state=UNPAID&state=AWAITING_PAYMENT',
      'state=UNPAID,AWAITING_PAYMENT',
      'state=AWAITING_PAYMENT',
    ])
      expect([query, await listed(query)]).toEqual([query, [externalOrderNumber]]);
    expect(await listed('state=UNPAID,CREDITED')).toEqual([]);
    expect(await listed(`orderPrefix=${externalOrderNumber.slice(0, 8)}`)).toContain(externalOrderNumber);
    expect(await listed('createdBefore=2026-01-01T00:00:00Z')).toEqual([]);
  });

  const forged = (text: string) => encodeURIComponent(text);
  test.each([
    ['foo=1', 'foo'],
    ['__proto__=1', '__proto__'],
    ['constructor=1', 'constructor'],
    ['state[]=CREDITED', 'state[]'],
    ['Wallet=x', 'Wallet'],
    ['state=credited', 'state'],
    ['state=', 'state'],
    ['state=CREDITED&state=paid', 'state'],
    ['state=CREDITED,', 'state'],
    ['createdFrom=yesterday', 'createdFrom'],
    ['createdBefore=2026-02-30T00:00:00Z', 'createdBefore'],
    ['transactionCode=a%20b', 'transactionCode'],
    ['orderPrefix=a%25', 'orderPrefix'],
    ['wallet=', 'wallet'],
    ['wallet=a%20b', 'wallet'],
    ['wallet=a&wallet=b', 'wallet'],
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=1e2', 'limit'],
    ['limit=1.0', 'limit'],
    ['limit=', 'limit'],
    ['cursor=', 'cursor'],
    ['cursor=x', 'cursor'],
    [`cursor=${forged('2026-01-01T00:00:00.000000Z')}`, 'cursor'],
    [`cursor=${forged("2026-01-01T00:00:00.000000Z~a'b")}`, 'cursor'],
    [`cursor=${forged('2026-13-01T00:00:00.000000Z~a')}`, 'cursor'],
    [`cursor=${forged('2026-02-31T00:00:00.000000Z~a')}`, 'cursor'],
    [`cursor=${forged('2026-01-01T24:00:00.000000Z~a')}`, 'cursor'],
    [`cursor=${forged('0000-01-01T00:00:00.000000Z~a')}`, 'cursor'],
  ])('refuses %s and names the field', async (query, field) => {
    const answer = await get(`/v1/deposits?${query}`);
    expectRefusal(answer, 400, 'invalid_request');
    expect(answer.body.errors.map((fault: { field: string }) => fault.field)).toEqual([field]);
    expect(answer.body.detail).toContain(field);
  });
});

describe('a wallet', () => {
  test('nobody has heard of holds "0"', async () => {
    const answer = await get('/v1/wallets/nobody');
    expect({ status: answer.status, body: answer.body }).toEqual({
      status: 200,
      body: { wallet: 'nobody', balance: '0', postings: [] },
    });
  });

  test('lists what made its balance, and an impossible name is refused', async () => {
    const { externalOrderNumber } = (await engine.create({ wallet: 'wallet-read', mtcAmount: '0.5' })).body;
    await engine.pay(externalOrderNumber);
    const { transactionCode } = await engine.untilState(externalOrderNumber, 'CREDITED');
    expect((await get('/v1/wallets/wallet-read')).body).toEqual({
      wallet: 'wallet-read',
      balance: '0.5',
      postings: [
        {
          postingId: expect.stringMatching(/^\d+$/),
          kind: 'credit',
          externalOrderNumber,
          transactionCode,
          amount: '0.5',
          postedAt: expect.stringMatching(/Z$/),
        },
      ],
    });
    expectRefusal(await get('/v1/wallets/a%20b'), 400, 'invalid_request');
    expectRefusal(await get(`/v1/wallets/${'x'.repeat(65)}`), 400, 'invalid_request');
  });
});

describe('addresses and methods', () => {
  test.each([
    ['PUT', '/v1/deposits', 'GET, POST'],
    ['DELETE', '/v1/deposits', 'GET, POST'],
    ['POST', '/v1/deposits/some', 'GET'],
    ['DELETE', '/v1/deposits/some', 'GET'],
    ['PATCH', '/v1/wallets/some', 'GET'],
  ])('%s %s is not allowed, and the answer says what is', async (method, path, allow) => {
    const before = await stored(engine);
    const answer = await engine.call(method, path, method === 'DELETE' ? undefined : {});
    expectRefusal(answer, 405, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe(allow);
    expect(await stored(engine)).toEqual(before);
  });

  test.each(['/', '/v1', '/v2/deposits', '/v1/deposits/a/b', '/v1/callbacks/mtpay/a/b', '/%2e%2e/etc', '/favicon.ico'])(
    'there is nothing at %s',
    async (path) => expectRefusal(await get(path), 404, 'not_found'),
  );

  test('no answer tells what serves it or may be cached', async () => {
    for (const path of ['/healthz', '/v1/deposits', '/nothing']) {
      const { headers } = await get(path);
      expect([headers.get('x-powered-by'), headers.get('etag'), headers.get('server')]).toEqual([null, null, null]);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });
});

describe('health', () => {
  test('needs no key and tells of the database and of Temporal', async () => {
    const alive = await engine.call('GET', '/healthz', undefined, { key: null });
    expect({ status: alive.status, body: alive.body }).toEqual({ status: 200, body: { status: 'alive' } });
    const ready = await engine.call('GET', '/readyz', undefined, { key: null });
    expect({ status: ready.status, body: ready.body }).toEqual({
      status: 200,
      body: { ready: true, database: 'up', temporal: 'up', withoutEffectMs: null },
    });
  });

  test('without the database the process is alive and not ready, and is ready again afterwards', async () => {
    const url = new URL(engine.env['DATABASE_URL_API']!);
    const line = await lineTo({ host: url.hostname, port: Number(url.port) });
    url.port = String(line.port);
    await withApi(engine, { env: { DATABASE_URL_API: url.href } }, async () => {
      await line.cut();
      expect((await get('/healthz')).status).toBe(200);
      const away = await get('/readyz');
      expect({ status: away.status, body: away.body }).toEqual({
        status: 503,
        body: { ready: false, database: 'down', temporal: 'up', withoutEffectMs: null },
      });
      await line.mend();
      expect((await get('/readyz')).status).toBe(200);
    });
    await line.cut();
  });
});

const bytewise = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

describe('a checkout link', () => {
  test('that leads elsewhere is served to nobody, in whatever answer, and people are told', async () => {
    const told = memoryLog();
    const body = engine.body();
    const n = String(body['externalOrderNumber']);
    await withApi(engine, { log: told.log }, async () => {
      const placed = await engine.call('POST', '/v1/deposits', body);
      expect(placed.body).toMatchObject({ state: 'AWAITING_PAYMENT', redirectUrl: expect.stringMatching(/^http/) });
      const { redirectUrl } = placed.body as { redirectUrl: string };
      const links = async () => [
        (await engine.call('POST', '/v1/deposits', body)).body.redirectUrl,
        (await get(`/v1/deposits/${n}`)).body.redirectUrl,
        (await get(`/v1/deposits?wallet=${String(body['wallet'])}`)).body.items.find(
          (one: { externalOrderNumber: string }) => one.externalOrderNumber === n,
        ).redirectUrl,
      ];
      const { host } = new URL(redirectUrl);
      for (const link of [
        'https://evil.example/pay/1',
        `https://${host}@evil.example/`,
        'javascript:alert(1)',
        'pay',
      ]) {
        await byHand(engine.db.owner, 'update engine.deposit set redirect_url = $2 where external_order_number = $1', [
          n,
          link,
        ]);
        expect(await links()).toEqual([null, null, null]);
      }
      expect(told.alarms(n)).toContain('redirect_not_allowed');
      await byHand(engine.db.owner, 'update engine.deposit set redirect_url = $2 where external_order_number = $1', [
        n,
        redirectUrl,
      ]);
      expect(await links()).toEqual([redirectUrl, redirectUrl, redirectUrl]);
    });
  });
});
