import { BlockList } from 'node:net';
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { listDeliveries } from '../../database/queries/notifications/deliveries.ts';
import {
  changeEndpoint,
  deleteEndpoint,
  listEndpoints,
  positionsSince,
  redeliver,
  rotateEndpoint,
} from '../../database/queries/notifications/endpoints.ts';
import { sealEndpointSecret } from '../../notifications/endpoint-secrets.ts';
import { type Sender, startSender } from '../../notifications/sender.ts';
import { newSecret } from '../../notifications/signature.ts';
import { createLog } from '../../telemetry/log.ts';
import { reserved } from '../ledger/payments.ts';
import { createTestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { openQueue, pass } from './queue.ts';
import { type Receiver, signedBy, startReceiver } from './receiver.ts';

/** The sender beside a real database and real endpoints. */
const db = await createTestDatabase();
const queue = await openQueue(db);
const ring = fixedKeyring(new Secret(randomBytes(32)));
const seal = (secret: string) => ({ sealed: sealEndpointSecret(ring, 'shop', secret), publicKey: null });
const running: { close(): Promise<void> }[] = [];

const sending = (...receivers: readonly Receiver[]): Sender => {
  const targets = { localTargets: receivers.map(({ host }) => host), deny: new BlockList() };
  const sender = startSender({
    pool: queue.notifier,
    secrets: ring,
    targets,
    atOnce: 64,
    log: createLog('test', 'silent'),
  });
  running.push(sender);
  return sender;
};
const receiver = async () => {
  const one = await startReceiver();
  running.push(one);
  return one;
};
const placed = async (n: number) => {
  const orders = await Promise.all(Array.from({ length: n }, () => reserved(db.owner)));
  await queue.publish();
  return orders.map(({ externalOrderNumber }) => externalOrderNumber);
};
const healthOf = async (id: string) => {
  const found = await listEndpoints(queue.api, { name: 'shop', wallets: null });
  return found.find((one) => one.id === id)!;
};
/** No message of an endpoint is under way. */
const idle = (id: string) =>
  until(`the answers of ${id}`, async () => {
    const { rows } = await db.owner.query(
      'select from engine.delivery_line where endpoint = $1 and leased_until > now()',
      [id.slice(3)],
    );
    return rows.length === 0;
  });
/** The whole queue of an endpoint is empty. */
const empty = (id: string) =>
  until(`the line of ${id}`, async () => {
    const { rows } = await db.owner.query('select from engine.delivery_line where endpoint = $1', [id.slice(3)]);
    return rows.length === 0;
  });

afterEach(async () => {
  await queue.publish();
  // Senders before receivers, so that nothing is cut.
  for (const one of running.splice(0).toReversed()) await one.close();
  for (const { id } of await listEndpoints(queue.api, { name: 'shop', wallets: null }))
    await deleteEndpoint(queue.api, queue.proof, id);
});

test('every event is sent once, signed, and in order within its deposit', async () => {
  const to = await receiver();
  const secret = newSecret();
  const id = await queue.endpoint({ url: to.url, ...seal(secret) });
  const orders = await placed(30);
  await db.owner.query(`update engine.deposit set state = 'EXPIRED' where external_order_number = any($1)`, [orders]);
  await queue.publish();
  sending(to);
  await empty(id);
  expect(to.received.length).toBe(60);
  expect(to.received.every((one) => signedBy(one, secret))).toBe(true);
  for (const order of orders) {
    expect(to.received.filter(({ subject }) => subject === order).map(({ sequence }) => sequence)).toEqual([1, 2]);
  }
  expect(to.most).toBeLessThanOrEqual(8);
  expect(to.received[0]!.headers).toMatchObject({
    'content-type': 'application/json',
    'webhook-id': to.received[0]!.id,
  });
});

test('what is not received is sent again after its time, and under the same id', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  to.answer = () => (to.received.length < 2 ? 500 : 200);
  await placed(1);
  sending(to);
  await until('the refusal to be recorded', async () => (await healthOf(id)).failingSince !== null);
  expect(to.received.length).toBe(1);
  await pass(db.owner, '4 seconds');
  await pass(db.owner, '2 seconds');
  await empty(id);
  expect(new Set(to.received.map((one) => one.id)).size).toBe(1);
  const { items } = await listDeliveries(queue.api, { endpoint: id.slice(3), after: '0', limit: 9 });
  expect(
    items.map(({ outcome, attempts }) => [outcome, attempts.map(({ status }) => status), attempts[1]!.answer]),
  ).toEqual([['delivered', [500, 200], 'noted']]);
  expect((await healthOf(id)).failingSince).toBeNull();
});

test('one deposit whose messages are refused holds up no other', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  const [bad, ...good] = await placed(20);
  to.answer = ({ subject }) => (subject === bad ? 500 : 200);
  sending(to);
  await until('the others', async () => {
    const { items } = await listDeliveries(queue.api, {
      endpoint: id.slice(3),
      delivered: true,
      after: '0',
      limit: 200,
    });
    return items.length === good.length;
  });
});

test('while an endpoint fails one message at a time tries it, and the others keep their tries', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  to.answer = () => 503;
  await placed(100);
  const sender = sending(to);
  await until('it to fail', async () => (await healthOf(id)).pausedUntil !== null);
  await idle(id);
  for (let probes = 1; probes <= 6; probes += 1) {
    const before = to.received.length;
    await pass(db.owner, '31 minutes');
    sender.wake();
    await until('a probe', () => Promise.resolve(to.received.length > before));
    await idle(id);
    expect(to.received.length).toBe(before + 1);
  }
  const { rows } = await db.owner.query<{ tried: number }>(
    'select count(*)::int as tried from engine.delivery_line where endpoint = $1 and tries > 0',
    [id.slice(3)],
  );
  expect(rows[0]!.tried).toBeLessThanOrEqual(8);
  to.answer = () => 200;
  await changeEndpoint(queue.api, queue.proof, id, { enabled: true });
  sender.wake();
  await empty(id);
  expect(new Set(to.received.map((one) => one.id)).size).toBe(100);
});

test('an endpoint that is gone is disabled at once, the others of its owner are told, and enabling resumes', async () => {
  const [to, other] = [await receiver(), await receiver()];
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  const second = await queue.endpoint({ url: other.url, ...seal(newSecret()) });
  to.answer = () => 410;
  await placed(1);
  const sender = sending(to, other);
  await until('it to be disabled', async () => (await healthOf(id)).state === 'disabled');
  await queue.publish();
  sender.wake();
  await until('the other', () => Promise.resolve(other.received.length === 2));
  await empty(second);
  expect(JSON.parse(other.received[1]!.text)).toMatchObject({
    type: 'endpoint.disabled',
    data: { endpoint: id, reason: 'gone' },
  });
  await placed(1);
  to.answer = () => 200;
  await changeEndpoint(queue.api, queue.proof, id, { enabled: true });
  await empty(id);
  expect(to.received.length).toBe(3);
});

test('an endpoint that only fails is warned of three times and disabled after five days', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  to.answer = () => 500;
  await placed(3);
  const sender = sending(to);
  for (let hours = 0; (await healthOf(id)).state === 'on'; hours += 6) {
    expect(hours).toBeLessThan(200);
    const before = to.received.length;
    await pass(db.owner, '6 hours');
    sender.wake();
    await until('a probe', async () => to.received.length > before || (await healthOf(id)).state !== 'on');
    await idle(id);
  }
  const { rows } = await db.owner.query<{ type: string; data: { hours?: number; reason?: string } }>(
    'select type, data from engine.event where subject = $1 order by sequence',
    [`endpoint:${id.slice(3)}`],
  );
  expect(rows.map(({ type, data }) => [type, data.hours ?? data.reason])).toEqual([
    ['endpoint.failing', 60],
    ['endpoint.failing', 84],
    ['endpoint.failing', 108],
    ['endpoint.disabled', 'failing'],
  ]);
});

test('a wait that the endpoint asks for is kept, for all of its messages', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  to.answer = () => ({ status: 429, headers: { 'retry-after': '3600' } });
  await placed(1);
  const sender = sending(to);
  await until('the pause', async () => (await healthOf(id)).pausedUntil !== null);
  expect((await healthOf(id)).pausedUntil!.getTime() - Date.now()).toBeGreaterThan(3_000_000);
  await placed(1);
  sender.wake();
  to.answer = () => 200;
  await pass(db.owner, '61 minutes');
  sender.wake();
  await empty(id);
  expect(to.received.length).toBe(3);
});

test('both secrets sign while one replaces the other', async () => {
  const to = await receiver();
  const [before, after] = [newSecret(), newSecret()];
  const id = await queue.endpoint({ url: to.url, ...seal(before) });
  await rotateEndpoint(queue.api, queue.proof, id, seal(after), 3_600_000);
  sending(to);
  await placed(1);
  await empty(id);
  expect([before, after].map((secret) => signedBy(to.received[0]!, secret))).toEqual([true, true]);
  await pass(db.owner, '61 minutes');
  await placed(1);
  await empty(id);
  expect([before, after].map((secret) => signedBy(to.received[1]!, secret))).toEqual([false, true]);
});

test('the present secret signs alone when the key of the one before has gone', async () => {
  const to = await receiver();
  const secret = newSecret();
  const gone = sealEndpointSecret(fixedKeyring(new Secret(randomBytes(32))), 'shop', newSecret());
  const id = await queue.endpoint({ url: to.url, sealed: gone, publicKey: null });
  await rotateEndpoint(queue.api, queue.proof, id, seal(secret), 3_600_000);
  await placed(1);
  sending(to);
  await empty(id);
  expect(to.received.map((one) => signedBy(one, secret))).toEqual([true]);
});

test('what was received is sent once more if its owner asks, and is marked', async () => {
  const to = await receiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  const since = new Date();
  await placed(5);
  sending(to);
  await empty(id);
  const { after, upTo } = await positionsSince(queue.api, id, since);
  await redeliver(queue.api, queue.proof, id, after, upTo);
  await until('all again', () => Promise.resolve(to.received.length === 10));
  expect(to.received.map(({ headers }) => headers['webhook-redelivery'] === 'true').filter(Boolean).length).toBe(5);
  expect(new Set(to.received.map((one) => one.id)).size).toBe(5);
});

/** Its answers wait until they are let go. */
const slowReceiver = async () => {
  const to = await receiver();
  let answer = () => undefined as void;
  const gate = new Promise<void>((resolve) => (answer = resolve));
  to.answer = async () => {
    await gate;
    return 200;
  };
  return { to, answer };
};

test('an answer that cannot be recorded for longer than the lease is recorded later, and nothing is sent meanwhile', async () => {
  const { to, answer } = await slowReceiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  await placed(1);
  const sender = sending(to);
  await until('the message', () => Promise.resolve(to.received.length === 1));
  await db.owner.query('revoke usage on schema engine from app_notifier');
  answer();
  await pass(db.owner, '5 minutes');
  await placed(1);
  sender.wake();
  await db.owner.query('grant usage on schema engine to app_notifier');
  await empty(id);
  expect(to.received.map((one) => one.id)).toEqual([...new Set(to.received.map((one) => one.id))]);
  expect(to.received.length).toBe(2);
});

test('a sender that ends waits for its answers', async () => {
  const { to, answer } = await slowReceiver();
  const id = await queue.endpoint({ url: to.url, ...seal(newSecret()) });
  await placed(1);
  const first = sending(to);
  await until('the message', () => Promise.resolve(to.received.length === 1));
  const closed = first.close();
  answer();
  await closed;
  await empty(id);
  expect(to.received.length).toBe(1);
});
