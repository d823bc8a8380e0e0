import { createHmac } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import {
  ACCESS_KEY,
  control,
  eventually,
  newNumber,
  orders,
  pay,
  placementBody,
  type Placed,
  SECRET_KEY,
  send,
  start,
  openSandbox,
} from './support.ts';

interface Pair {
  readonly accessKey: string;
  readonly secretKey: string;
}
const FIRST: Pair = { accessKey: ACCESS_KEY, secretKey: SECRET_KEY };

const { databaseUrl, sandbox, merchant } = await openSandbox();
afterEach(() => control(sandbox, 'PUT', '/settings', { signsWith: null }));

const signedBy = ({ accessKey, secretKey }: Pair, timestamp: string): string =>
  createHmac('sha256', secretKey).update(`${accessKey}_${timestamp}`).digest('hex').toUpperCase();

function placeWith(pair: Pair, number = newNumber()): Promise<Placed> {
  const timestamp = String(Date.now());
  return send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), {
    access_key: pair.accessKey,
    timestamp,
    signature: signedBy(pair, timestamp),
  });
}

/** Which of the pairs signed the callback of an order placed with `pair`. */
async function signerOf(pair: Pair, among: readonly Pair[], before: () => Promise<unknown> = async () => undefined) {
  const number = newNumber();
  expect((await placeWith(pair, number)).statusCode).toBe('SUCCESS');
  await before();
  await pay(sandbox, number);
  const { signature, timestamp } = JSON.parse((await merchant.received(number))[0]!.body) as Record<string, string>;
  return among.findIndex((each) => signedBy(each, timestamp!) === signature);
}

const create = async (): Promise<Pair> => (await control(sandbox, 'POST', '/keys')).body as Pair;

test('further keys are of the documented lengths, work beside the first, and show their secret once', async () => {
  const second = await create();
  expect(second).toEqual({
    accessKey: expect.stringMatching(/^[0-9A-Za-z]{32}$/),
    secretKey: expect.stringMatching(/^[0-9A-Za-z]{64}$/),
  });
  for (const pair of [FIRST, second]) expect((await placeWith(pair)).statusCode).toBe('SUCCESS');
  expect((await placeWith({ ...second, secretKey: SECRET_KEY })).statusCode).toBe('SIGNATURE_ERROR');
  const { body } = await control(sandbox, 'GET', '/keys');
  expect(body.keys[0]).toEqual({
    accessKey: second.accessKey,
    state: 'active',
    createdAt: expect.any(String),
    disabledAt: null,
  });
  const log = JSON.stringify((await control(sandbox, 'GET', '/log?limit=10000')).body);
  for (const secret of [second.secretKey, SECRET_KEY]) expect(JSON.stringify(body) + log).not.toContain(secret);
});

test('an order remembers the key that placed it, and that key signs its callback unless the newest is to', async () => {
  const second = await create();
  const number = newNumber();
  await placeWith(second, number);
  expect((await orders(sandbox, number))[0]).toMatchObject({ accessKey: second.accessKey });
  expect(await signerOf(FIRST, [FIRST, second])).toBe(0);
  await control(sandbox, 'PUT', '/settings', { signsWith: 'newest' });
  expect(await signerOf(FIRST, [FIRST, second])).toBe(1);
});

test('a disabled key is ACCESS_KEY_ERROR and signs nothing any more: the newest in force does', async () => {
  const [second, third] = [await create(), await create()];
  const disable = () => control(sandbox, 'POST', `/keys/${second.accessKey}/disable`);
  expect(await signerOf(second, [FIRST, second, third], disable)).toBe(2);
  expect((await placeWith(second)).statusCode).toBe('ACCESS_KEY_ERROR');
  expect((await disable()).status).toBe(404);
  await control(sandbox, 'POST', `/keys/${third.accessKey}/disable`);
});

test('a rotation lets old and new keys work side by side for the overlap, and then only the new one', async () => {
  const old = await create();
  const { status, body } = await control(sandbox, 'POST', '/keys/rotate', { overlapMs: 1_500 });
  const fresh = body as Pair & { othersDisabledAt: string };
  expect(status).toBe(201);
  for (const pair of [old, fresh]) expect((await placeWith(pair)).statusCode).toBe('SUCCESS');
  const listed = (await control(sandbox, 'GET', '/keys')).body.keys as { accessKey: string; disabledAt: string }[];
  expect(listed.find((key) => key.accessKey === old.accessKey)!.disabledAt).toBe(fresh.othersDisabledAt);
  await eventually(async () => ((await placeWith(old)).statusCode === 'ACCESS_KEY_ERROR' ? true : undefined));
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(fresh.othersDisabledAt) - 50);
  expect((await placeWith(fresh)).statusCode).toBe('SUCCESS');
  expect((await placeWith(FIRST)).statusCode).toBe('ACCESS_KEY_ERROR');
});

test('a restart with the configured pair undoes no rotation', async () => {
  const again = await start(databaseUrl);
  expect(again.accessKey).toBe(ACCESS_KEY);
  expect((await placeWith(FIRST)).statusCode).toBe('ACCESS_KEY_ERROR');
  await again.close();
});
