import { expect, test } from 'vitest';
import { createDepositClient, type Deposit, DepositEngineError, type NewDeposit } from '../../client/src/client.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { withLimits } from '../api/parts.ts';
import { orderNumber } from '../support/builders.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/** The client and the whole engine. */
const engine = await startEngine();
const scopes = ['deposits:create', 'deposits:read', 'events:read', 'endpoints:manage', 'audit:read'] as const;
const apiKey = await createApiKey(engine.db.owner, { name: 'shop', scopes });
const clientOf = (key = apiKey) => createDepositClient({ baseUrl: engine.api.apiUrl, apiKey: key });
const client = clientOf();

const orderOf = (change: Partial<NewDeposit> = {}): NewDeposit =>
  ({
    externalOrderNumber: orderNumber(),
    wallet: 'wallet-client',
    buyCoinMode: 'MtcAmount',
    mtcAmount: '250',
    currencyCode: 'HKD',
    supportLanguage: 'en',
    payerRealName: 'Test Person',
    ...change,
  }) as NewDeposit;
const hasLink = ({ redirectUrl }: Deposit) => redirectUrl !== null;
const refusalOf = (call: Promise<unknown>) =>
  call.then(
    () => null,
    (error: unknown) => (error instanceof DepositEngineError ? [error.status, error.code] : error),
  );

test('a deposit is created once however often it is asked for, waited for, and found in the lists', async () => {
  const order = orderOf();
  const n = order.externalOrderNumber;
  const made = await Promise.all(Array.from({ length: 5 }, () => client.deposits.create(order)));
  expect(new Set(made.map(({ createdAt }) => createdAt)).size).toBe(1);
  const placed = await client.deposits.wait(n, { until: hasLink });
  await engine.pay(n);
  const credited = await client.deposits.wait(n);
  expect(credited).toMatchObject({ state: 'CREDITED', creditedAmount: '250', redirectUrl: placed.redirectUrl });
  expect(await client.deposits.read(n)).toEqual(credited);
  expect(await client.wallets.read(order.wallet)).toMatchObject({ balance: '250', postings: [{ amount: '250' }] });
  expect((await client.deposits.evidence(n)).lines.length).toBeGreaterThan(5);
});

test('every deposit of a list comes once, over pages; a caller who has enough reads no further', async () => {
  const wallet = 'wallet-pages';
  const numbers: string[] = [];
  for (let count = 0; count < 5; count += 1)
    numbers.push((await client.deposits.create(orderOf({ wallet }))).externalOrderNumber);
  const found: string[] = [];
  for await (const one of client.deposits.list({ wallet, limit: 2 })) found.push(one.externalOrderNumber);
  expect(found).toEqual(numbers.toReversed());
  for await (const { items, nextCursor } of client.deposits.list({ wallet, limit: 2 }).pages()) {
    expect([items.length, typeof nextCursor]).toEqual([2, 'string']);
    break;
  }
  for await (const one of client.reviews.list()) expect(one.state).toBe('open');
});

test('events are read from a kept cursor on, and a cursor of another epoch is refused', async () => {
  const { externalOrderNumber: deposit } = await client.deposits.create(orderOf());
  await client.deposits.wait(deposit, { until: hasLink });
  const read = async (cursor?: string) => {
    const types: string[] = [];
    let kept = { nextCursor: '', epoch: 0 };
    for await (const page of client.events
      .list({ deposit, limit: 1, ...(cursor === undefined ? {} : { cursor }) })
      .pages()) {
      types.push(...page.items.map(({ type }) => type));
      kept = page;
    }
    return { types, nextCursor: kept.nextCursor, epoch: kept.epoch };
  };
  const first = await until('the first event', async () => {
    const found = await read();
    return found.types.length > 0 && found;
  });
  expect(first.types).toEqual(['deposit.placed']);
  await engine.pay(deposit);
  await client.deposits.wait(deposit);
  const next = await until('the next event', async () => {
    const found = await read(first.nextCursor);
    return found.types.length > 0 && found;
  });
  expect(next.types).toEqual(['deposit.credited']);
  const cursor = `${next.epoch + 1}.0`;
  expect(await refusalOf(client.events.list({ cursor }).pages()[Symbol.asyncIterator]().next())).toEqual([
    409,
    'epoch_changed',
  ]);
});

test('an endpoint is made, changed, rotated, redelivered to and deleted, and its deliveries are listed', async () => {
  const { secret, ...made } = await client.endpoints.create({ url: 'https://shop.example/hook' });
  const { id } = made;
  expect(secret).toMatch(/^whsec_/);
  expect(await client.endpoints.read(id)).toEqual(made);
  expect(await client.endpoints.list()).toEqual([made]);
  const changed = await client.endpoints.change(id, { types: ['deposit.placed'], enabled: false });
  expect(changed).toMatchObject({ id, types: ['deposit.placed'], state: 'off' });
  const { externalOrderNumber: deposit } = await client.deposits.create(orderOf());
  const [delivery] = await until('its event', async () => {
    const found = [];
    for await (const one of client.deliveries.list({ endpoint: id, delivered: false, deposit })) found.push(one);
    return found.length > 0 && found;
  });
  expect(delivery).toMatchObject({ type: 'deposit.placed', externalOrderNumber: deposit, outcome: null, attempts: [] });
  expect(await client.endpoints.redeliver(id, { event: delivery!.event })).toMatchObject({
    endpoint: id,
    doneAt: null,
  });
  expect((await client.endpoints.rotate(id, { overlapHours: 0 })).secret).not.toBe(secret);
  await client.endpoints.delete(id);
  expect(await refusalOf(client.endpoints.read(id))).toEqual([404, 'not_found']);
});

test('what the engine refuses is an error with its code', async () => {
  const order = orderOf();
  await client.deposits.create(order);
  const changed = { ...order, wallet: 'wallet-other' };
  expect(await refusalOf(client.deposits.create(changed))).toEqual([409, 'other_parameters']);
  expect(await refusalOf(client.deposits.read('none'))).toEqual([404, 'not_found']);
  expect(await refusalOf(clientOf(`dek_${'x'.repeat(43)}`).deposits.read('none'))).toEqual([401, 'unauthorized']);
  expect(await refusalOf(client.reviews.confirm('review:1-00000000', { proposal: '1' }))).toEqual([403, 'forbidden']);
  const invalid = await client.deposits.create(orderOf({ mtcAmount: '-1' })).catch((error: unknown) => error);
  expect(invalid).toMatchObject({ code: 'invalid_request', status: 400, errors: [{ field: 'mtcAmount' }] });
  await withLimits(engine, { API_RATE_BURST: '1', API_RATE_LIMIT: '1' }, async () => {
    const limited = clientOf();
    await limited.deposits.read(order.externalOrderNumber, { retries: 0 });
    const error = await limited.deposits.read('none', { retries: 0 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'rate_limited', status: 429, retryAfterSeconds: expect.any(Number) });
  });
});
