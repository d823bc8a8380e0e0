import { describe, expect, test } from 'vitest';
import { type Deposit, createDepositClient, DepositEngineError, type NewDeposit } from '../../client/src/client.ts';
import { pauseBeforeMs } from '../../client/src/transport.ts';
import { until } from '../support/until.ts';
import { faultyEngine } from './faults.ts';

/** What the client repeats, for how long, and what it throws. */
const order: NewDeposit = {
  externalOrderNumber: 'order-1001',
  wallet: 'wallet-42',
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'en',
  payerRealName: 'Li Ming',
};
const AT_ONCE = { 'retry-after': '0' };
const unavailable = { status: 503, headers: AT_ONCE, body: { code: 'unavailable', detail: 'in a moment' } };
const deposit = (state: Deposit['state'] = 'AWAITING_PAYMENT') => ({
  status: 200,
  body: { externalOrderNumber: 'order-1001', state, final: state === 'CREDITED' },
});
const errorOf = (call: Promise<unknown>): Promise<DepositEngineError> =>
  call.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: DepositEngineError) => error,
  );

describe('a create', () => {
  test('is repeated with the same body after an outage, a cut connection, too many requests and an answer too late', async () => {
    const replies = ['cut', unavailable, { status: 429, headers: AT_ONCE }, { status: 408, headers: AT_ONCE }] as const;
    const { client, heard } = await faultyEngine([...replies, { ...deposit(), status: 201 }]);
    expect(await client.deposits.create(order)).toMatchObject({ state: 'AWAITING_PAYMENT' });
    expect(heard).toHaveLength(5);
    for (const request of heard)
      expect(request).toMatchObject({ method: 'POST', path: '/v1/deposits', body: JSON.stringify(order) });
  });

  test('is repeated after an attempt that is not answered', async () => {
    const { client, heard } = await faultyEngine(['hang', deposit()], { attemptTimeoutMs: 200 });
    expect(await client.deposits.create(order)).toMatchObject({ externalOrderNumber: 'order-1001' });
    expect(heard.length).toBeGreaterThan(1);
  });

  test.each([400, 401, 403, 404, 409, 413, 415, 422])('is not repeated after %i', async (status) => {
    const { client, heard } = await faultyEngine([{ status, headers: AT_ONCE, body: { code: 'refused', detail: '' } }]);
    expect(await errorOf(client.deposits.create(order))).toMatchObject({ status });
    expect(heard).toHaveLength(1);
  });

  test('is given up after the repeats that its caller allows, with the last error', async () => {
    const { client, heard } = await faultyEngine([unavailable]);
    expect(await errorOf(client.deposits.create(order, { retries: 2 }))).toMatchObject({ code: 'unavailable' });
    expect(heard).toHaveLength(3);
  });
});

test('a step of operators is sent once, whatever becomes of it; what is read is repeated', async () => {
  for (const reply of ['cut', unavailable, { status: 429, headers: AT_ONCE }] as const) {
    const { client, heard } = await faultyEngine([reply]);
    const steps = [
      client.reviews.confirm('review:1', { proposal: '7' }, { retries: 5 }),
      client.reviews.propose('review:1', { decision: 'credit', reason: 'seen' }, { retries: 5 }),
      client.reviews.withdraw('review:1', { proposal: '7', reason: 'no' }, { retries: 5 }),
      client.reviews.doubt({ externalOrderNumber: 'order-1001', reason: 'recalled' }, { retries: 5 }),
    ];
    for (const step of steps) expect(await errorOf(step)).toBeInstanceOf(DepositEngineError);
    expect(heard.map(({ path }) => path).toSorted()).toEqual([
      '/v1/reviews',
      '/v1/reviews/review%3A1/confirm',
      '/v1/reviews/review%3A1/propose',
      '/v1/reviews/review%3A1/withdraw',
    ]);
  }
  const { client, heard } = await faultyEngine([unavailable, 'cut', { status: 200, body: { id: 'review:1' } }]);
  expect(await client.reviews.read('review:1')).toEqual({ id: 'review:1' });
  expect(heard).toHaveLength(3);
});

test('an endpoint is made, rotated and redelivered to once, whatever becomes of it; the rest is repeated', async () => {
  for (const reply of ['cut', unavailable] as const) {
    const { client, heard } = await faultyEngine([reply]);
    const steps = [
      client.endpoints.create({ url: 'https://shop.example/' }, { retries: 5 }),
      client.endpoints.rotate('ep_3', { overlapHours: 1 }, { retries: 5 }),
      client.endpoints.redeliver('ep_3', { event: 'evt_order-1001_2' }, { retries: 5 }),
    ];
    for (const step of steps) expect(await errorOf(step)).toBeInstanceOf(DepositEngineError);
    expect(heard.map(({ path }) => path).toSorted()).toEqual([
      '/v1/endpoints',
      '/v1/endpoints/ep_3/redeliveries',
      '/v1/endpoints/ep_3/rotate',
    ]);
  }
  const { client, heard } = await faultyEngine([unavailable, { status: 200 }, unavailable, { status: 204, body: '' }]);
  await client.endpoints.change('ep_3', { enabled: true });
  expect(await client.endpoints.delete('ep_3')).toBe(null);
  expect(heard.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'PATCH /v1/endpoints/ep_3',
    'PATCH /v1/endpoints/ep_3',
    'DELETE /v1/endpoints/ep_3',
    'DELETE /v1/endpoints/ep_3',
  ]);
});

describe('the pause before a repeat', () => {
  test('is what the answer says, and a little more by chance', async () => {
    expect([pauseBeforeMs(0, 8, 0), pauseBeforeMs(9, 8, 1)]).toEqual([8_000, 9_000]);
    const { client } = await faultyEngine([{ ...unavailable, headers: { 'retry-after': '1' } }, deposit()]);
    const since = performance.now();
    await client.deposits.read('order-1001');
    expect(performance.now() - since).toBeGreaterThanOrEqual(999);
  });

  test('is doubled otherwise, up to ten seconds, and half of it is chance', () => {
    expect([0, 1, 2, 3].map((repeat) => pauseBeforeMs(repeat, null, 1))).toEqual([250, 500, 1_000, 2_000]);
    expect([pauseBeforeMs(0, null, 0), pauseBeforeMs(2, null, 0)]).toEqual([125, 500]);
    expect(pauseBeforeMs(50, null, 1)).toBe(10_000);
    expect(pauseBeforeMs(0, 0, 0)).toBe(125);
  });

  test('may be a time; one beyond the deadline is not waited for, and the error has it', async () => {
    const headers = { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() };
    const { client, heard } = await faultyEngine([{ ...unavailable, headers }]);
    const error = await errorOf(client.deposits.read('order-1001'));
    expect(error.retryAfterSeconds).toBeGreaterThan(3_500);
    expect(error.retryAfterSeconds).toBeLessThanOrEqual(3_600);
    expect(heard).toHaveLength(1);
  });
});

describe('an error', () => {
  test('has everything that the answer says', async () => {
    const body = {
      code: 'invalid_request',
      detail: 'dry: unknown field',
      errors: [{ field: 'dry', message: 'unknown' }],
    };
    const { client } = await faultyEngine([{ status: 400, headers: { 'request-id': 'req-7' }, body }]);
    const error = await errorOf(client.deposits.create(order));
    expect(error).toBeInstanceOf(DepositEngineError);
    expect(error).toMatchObject({
      ...body,
      name: 'DepositEngineError',
      message: 'invalid_request: dry: unknown field',
      status: 400,
      retryAfterSeconds: null,
      requestId: 'req-7',
    });
  });

  test.each([
    ['a page of a proxy', { status: 404, body: '<html>' }, 404],
    ['a success that is none', { status: 200, body: '<html>' }, 200],
    ['JSON of something else', { status: 404, body: { error: 'no' } }, 404],
    ['null', { status: 404, body: 'null' }, 404],
  ])('of %s is unexpected_answer', async (_, reply, status) => {
    const { client, heard } = await faultyEngine([reply]);
    expect(await errorOf(client.deposits.read('order-1001'))).toMatchObject({ code: 'unexpected_answer', status });
    expect(heard).toHaveLength(1);
  });

  test('says that nobody answers, or not in time', async () => {
    const away = createDepositClient({ baseUrl: 'http://127.0.0.1:1', apiKey: 'dek_test', retries: 0 });
    expect(await errorOf(away.deposits.read('order-1001'))).toMatchObject({ code: 'no_answer', status: null });
    const { client, heard } = await faultyEngine(['hang']);
    const late = await errorOf(client.deposits.read('order-1001', { timeoutMs: 100 }));
    expect(late).toMatchObject({ code: 'timeout', status: null });
    expect(heard.length).toBeLessThanOrEqual(1);
  });
});

describe('the key', () => {
  test('goes to the address that was named, and not to where that points', async () => {
    const elsewhere = await faultyEngine([deposit()]);
    const { client, heard } = await faultyEngine([
      { status: 307, headers: { location: `${elsewhere.url}/v1/deposits` } },
    ]);
    expect(await errorOf(client.deposits.create(order))).toMatchObject({ code: 'unexpected_answer', status: 307 });
    expect(heard.map(({ authorization }) => authorization)).toEqual(['Bearer dek_test']);
    expect(elsewhere.heard).toEqual([]);
  });

  test('is not shown by the error about one that cannot be sent, and an address has to be one', () => {
    for (const apiKey of ['hidden word', 'hidden\n', 'hidden-ключ', ''])
      expect(() => createDepositClient({ baseUrl: 'http://127.0.0.1:1', apiKey })).toThrow(/^apiKey has (?!.*hidden)/);
    expect(() => createDepositClient({ baseUrl: 'here', apiKey: 'dek_test' })).toThrow(/^baseUrl is no address/);
  });
});

describe('a caller who aborts', () => {
  const reason = new Error('the customer left');

  test('gets his own reason, before the call, during an attempt, and during the pause after it', async () => {
    const { client, heard } = await faultyEngine(['hang']);
    await expect(client.deposits.create(order, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(heard).toEqual([]);
    const during = new AbortController();
    const call = client.deposits.create(order, { signal: during.signal });
    await until('the request', () => heard.length === 1);
    during.abort(reason);
    await expect(call).rejects.toBe(reason);

    const paused = await faultyEngine([{ ...unavailable, headers: { 'retry-after': '50' } }]);
    const after = new AbortController();
    const waiting = paused.client.deposits.create(order, { signal: after.signal });
    await until('the request', () => paused.heard.length === 1);
    after.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(paused.heard).toHaveLength(1);
  });
});

describe('waiting for a deposit', () => {
  test('goes on through an outage that is longer than the repeats of a call, until the state is final', async () => {
    const replies = [deposit(), ...Array.from({ length: 6 }, () => unavailable), deposit(), deposit('CREDITED')];
    const { client, heard } = await faultyEngine(replies);
    expect(await client.deposits.wait('order-1001')).toMatchObject({ state: 'CREDITED', final: true });
    expect(heard).toHaveLength(replies.length);
  });

  test('lets the engine wait, with the state that is known, for less than its deadlines', async () => {
    const asked = async (options: { attemptTimeoutMs?: number }, timeoutMs?: number) => {
      const { client, heard } = await faultyEngine([deposit(), deposit('CREDITED')], options);
      await client.deposits.wait('order-1001', timeoutMs === undefined ? {} : { timeoutMs });
      expect(heard[0]!.path).toBe('/v1/deposits/order-1001');
      return new URL(heard[1]!.path, 'http://x').search;
    };
    expect(await asked({})).toBe('?wait=15&state=AWAITING_PAYMENT');
    expect(await asked({ attemptTimeoutMs: 6_000 })).toBe('?wait=5&state=AWAITING_PAYMENT');
    expect(await asked({ attemptTimeoutMs: 1_500 })).toBe('');
    expect(await asked({}, 30_000)).toBe('?wait=15&state=AWAITING_PAYMENT');
    expect(await asked({}, 12_000)).toBe('?wait=10&state=AWAITING_PAYMENT');
  });

  test('ends where its caller says, at a refusal, at its deadline, and when it is aborted', async () => {
    const { client } = await faultyEngine([deposit('PLACING'), deposit()]);
    const isPlaced = ({ state }: Deposit) => state !== 'PLACING';
    expect(await client.deposits.wait('order-1001', { until: isPlaced })).toMatchObject({ state: 'AWAITING_PAYMENT' });
    expect(await errorOf(client.deposits.wait('order-1001', { timeoutMs: 300 }))).toMatchObject({
      code: 'timeout',
      // Or its last look was not answered any more.
      detail: expect.stringMatching(/^deposit order-1001 is still AWAITING_PAYMENT after 0.3 s$|in time$/),
    });
    const missing = await faultyEngine([{ status: 404, body: { code: 'not_found', detail: 'no deposit' } }]);
    expect(await errorOf(missing.client.deposits.wait('order-1001'))).toMatchObject({ code: 'not_found' });
    const reason = new Error('enough');
    await expect(client.deposits.wait('order-1001', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('a list', () => {
  const page = (items: string[], nextCursor: string | null) => ({ status: 200, body: { items, nextCursor } });

  test('is read page by page with its filter, no page before it is needed', async () => {
    const { client, heard } = await faultyEngine([page(['a', 'b'], 'c:2~x y'), page(['c'], null)]);
    const found: unknown[] = [];
    for await (const one of client.deposits.list({ state: ['CREDITED'], limit: 2 })) {
      found.push(one);
      if (found.length === 2) expect(heard).toHaveLength(1);
    }
    expect(found).toEqual(['a', 'b', 'c']);
    expect(heard.map(({ path }) => path)).toEqual([
      '/v1/deposits?state=CREDITED&limit=2',
      '/v1/deposits?state=CREDITED&limit=2&cursor=c%3A2%7Ex+y',
    ]);
  });

  test('of events ends where there are no more, and its pages have the cursor and the epoch', async () => {
    const events = (nextCursor: string, more: boolean) => ({
      status: 200,
      body: { items: [nextCursor], nextCursor, more, epoch: 1 },
    });
    const { client, heard } = await faultyEngine([events('1.2', true), events('1.3', false)]);
    const pages: unknown[] = [];
    for await (const { nextCursor, epoch } of client.events.list({ cursor: '1.1' }).pages())
      pages.push([nextCursor, epoch]);
    expect(pages).toEqual([
      ['1.2', 1],
      ['1.3', 1],
    ]);
    expect(heard.map(({ path }) => path)).toEqual(['/v1/events?cursor=1.1', '/v1/events?cursor=1.2']);
  });
});
