import { afterEach, expect, test } from 'vitest';
import { inTransaction } from '../../database/pool.ts';
import { claimDeliveries, forgetAnswers } from '../../database/queries/notifications/deliveries.ts';
import {
  changeEndpoint,
  deleteEndpoint,
  findRedelivery,
  listEndpoints,
  redeliver,
} from '../../database/queries/notifications/endpoints.ts';
import { issueKey, proofOf } from '../../database/queries/api-keys.ts';
import { DELIVERIES } from '../../audit/tables/checks/delivery-checks.ts';
import { reserved } from '../ledger/payments.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { openQueue, pass } from './queue.ts';

/** The queue worked by hand: health, pauses and tries of endpoints, at hostile moments. */

const db = await createTestDatabase();
const queue = await openQueue(db);

const claim = (atMost = 64) => claimDeliveries(queue.notifier, atMost);
const placed = async (n: number) => {
  const orders = [];
  for (let i = 0; i < n; i += 1) orders.push((await reserved(db.owner)).externalOrderNumber);
  await queue.publish();
  return orders;
};
const expired = async (order: string) => {
  await db.owner.query(`update engine.deposit set state = 'EXPIRED' where external_order_number = $1`, [order]);
  await queue.publish();
};
const healthOf = async (id: string) =>
  (await listEndpoints(queue.api, { name: 'shop', wallets: null })).find((one) => one.id === id)!;
const pausedForMs = async (id: string) => {
  const { rows } = await db.owner.query<{ ms: number }>(
    'select coalesce(extract(epoch from resume_at - clock_timestamp()) * 1000, 0)::int as ms from engine.endpoint where id = $1',
    [id.slice(3)],
  );
  return rows[0]!.ms;
};
const lineOf = async (id: string, subject: string) => {
  const { rows } = await db.owner.query<{ tries: number; dueInMs: number }>(
    `select tries, extract(epoch from next_at - clock_timestamp())::float8 * 1000 as "dueInMs" from engine.delivery_line where endpoint = $1 and subject = $2`,
    [id.slice(3), subject],
  );
  return rows[0];
};
const positionOf = async (subject: string, sequence: number) => {
  const { rows } = await db.owner.query<{ position: string }>(
    'select position::text from engine.event where subject = $1 and sequence = $2',
    [subject, sequence],
  );
  return BigInt(rows[0]!.position);
};
const again = async (id: string, subject: string, sequence: number) => {
  const at = await positionOf(subject, sequence);
  return redeliver(queue.api, queue.proof, id, String(at - 1n), String(at));
};
const findings = async () => {
  const all: string[] = [];
  for (const { sql } of DELIVERIES)
    all.push(
      ...(await db.owner.query<{ place: string; detail: string }>(sql)).rows.map((one) => `${one.place} ${one.detail}`),
    );
  return all;
};

afterEach(async () => {
  await queue.publish();
  for (const { id } of await listEndpoints(queue.api, { name: 'shop', wallets: null }))
    await deleteEndpoint(queue.api, queue.proof, id);
  expect(await findings()).toEqual([]);
});

test.each([204, 500, 410])('an answer %i of an endpoint that was deleted meanwhile is recorded', async (status) => {
  const [id, other] = [await queue.endpoint(), await queue.endpoint({ types: ['deposit.expired'] })];
  const [order] = await placed(1);
  for (let failure = 0; failure < 3; failure += 1) {
    await queue.settle(await claim(), { status: 500 });
    await pass(db.owner, '6 hours');
  }
  const taken = await claim();
  expect(taken).toHaveLength(1);
  await deleteEndpoint(queue.api, queue.proof, id);
  await expired(order!);
  const others = await claim();
  expect(others.map(({ endpoint }) => `ep_${endpoint}`)).toEqual([other]);
  await queue.settle([...taken, ...others], { status });
  const { rows } = await db.owner.query('select from engine.delivery_attempt where id = $1 and status = $2', [
    taken[0]!.attempt,
    status,
  ]);
  expect(rows).toHaveLength(1);
});

test('eight messages that fail at once make an endpoint wait for seconds, as three do', async () => {
  const id = await queue.endpoint();
  await placed(10);
  const taken = await claim();
  expect(taken).toHaveLength(8);
  await queue.settle(taken.slice(0, 5), { status: 500 });
  await queue.settle(taken.slice(5), { fault: 'connect_failed' });
  expect(await pausedForMs(id)).toBeLessThanOrEqual(5_000);
  await pass(db.owner, '6 seconds');
  await queue.settle(await claim(), { status: 500 });
  expect(await pausedForMs(id)).toBeGreaterThan(20_000);
});

test('an answer to a message from before a pause does not end the pause', async () => {
  const id = await queue.endpoint();
  await placed(4);
  const [first, ...others] = await claim();
  await queue.settle([first!], { status: 429, waitMs: 3_600_000 });
  await queue.settle(others, { status: 204 });
  expect(await pausedForMs(id)).toBeGreaterThan(3_500_000);
  expect(await claim()).toEqual([]);
  await pass(db.owner, '61 minutes');
  await queue.settle(await claim(), { status: 204 });
  expect((await healthOf(id)).pausedUntil).toBeNull();
});

test('a 410 to a message from before it was enabled does not disable an endpoint again', async () => {
  const id = await queue.endpoint();
  await placed(2);
  const [first, second] = await claim();
  await queue.settle([first!], { status: 410 });
  expect((await healthOf(id)).state).toBe('disabled');
  await changeEndpoint(queue.api, queue.proof, id, { url: 'https://shop.example/new', enabled: true });
  await queue.settle([second!], { status: 410 });
  expect((await healthOf(id)).state).toBe('on');
  await queue.settle(await claim(), { status: 410 });
  expect((await healthOf(id)).state).toBe('disabled');
});

test('a wait that one message asks for holds up no other', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  await queue.settle(await claim(), { status: 500, waitMs: 86_400_000 });
  expect((await lineOf(id, order!))!.dueInMs).toBeGreaterThan(86_000_000);
  await placed(1);
  expect(await claim()).toHaveLength(1);
});

test('a redelivery reaches an endpoint that was failing when its last message was given up', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  for (let n = 0; n < 12; n += 1) {
    await queue.settle(await claim(), { status: 500 });
    await pass(db.owner, '27 hours');
    await db.owner.query('update engine.endpoint set failing_since = null where id = $1', [id.slice(3)]);
  }
  expect(await lineOf(id, order!)).toBeUndefined();
  const redelivery = await again(id, order!, 1);
  const taken = await claim();
  expect(taken.map(({ isRedelivery }) => isRedelivery)).toEqual([true]);
  await queue.settle(taken, { status: 204 });
  await pass(db.owner, '1 second');
  expect(await claim()).toEqual([]);
  expect((await findRedelivery(queue.api, id, redelivery))!.doneAt).not.toBeNull();
  expect((await healthOf(id)).failingSince).toBeNull();
});

test('a redelivery has its place beside many endpoints with messages', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  await queue.settle(await claim(), { status: 204 });
  await again(id, order!, 1);
  await queue.endpoint();
  await placed(3);
  const taken = await claim(3);
  expect(taken).toHaveLength(3);
  expect(taken.filter(({ isRedelivery }) => isRedelivery)).toHaveLength(1);
});

test('a message that was received by a redelivery leaves neither its tries nor its wait to the next', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  await queue.settle(await claim(), { status: 500 });
  await pass(db.owner, '6 seconds');
  await queue.settle(await claim(), { status: 500 });
  expect(await lineOf(id, order!)).toMatchObject({ tries: 2 });
  await expired(order!);
  await again(id, order!, 1);
  await queue.settle(await claim(), { status: 204 });
  expect(await lineOf(id, order!)).toMatchObject({ tries: 0 });
  expect((await claim()).map(({ name }) => name)).toEqual([`evt_${order!}_2`]);
});

test('a failure after another sender was answered is no failure of the next message', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  await expired(order!);
  const late = await claim();
  await pass(db.owner, '31 seconds');
  const second = await claim();
  await queue.settle(late, { status: 204 });
  await queue.settle(second, { fault: 'timeout' });
  expect(await lineOf(id, order!)).toMatchObject({ tries: 0 });
  expect((await claim()).map(({ name }) => name)).toEqual([`evt_${order!}_2`]);
});

test('thirty messages that always fail do not keep a failing endpoint from one that it takes', async () => {
  const id = await queue.endpoint();
  const bad = new Set(await placed(30));
  const isBad = ({ name }: { readonly name: string }) => bad.has(/^evt_(.+)_\d+$/.exec(name)![1]!);
  await queue.settle(await claim(), { status: 500 });
  await placed(30);
  for (let probes = 0; (await healthOf(id)).failingSince !== null; probes += 1) {
    expect(probes).toBeLessThan(40);
    await pass(db.owner, '31 minutes');
    const taken = await claim();
    await queue.settle(taken.filter(isBad), { status: 500 });
    await queue.settle(
      taken.filter((one) => !isBad(one)),
      { status: 204 },
    );
  }
});

test('the message that used up its tries is sent as soon as the endpoint is well', async () => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  for (let failure = 0; failure < 6; failure += 1) {
    await queue.settle(await claim(), { status: 500 });
    await pass(db.owner, '11 hours');
  }
  await queue.settle(await claim(), { status: 500 });
  expect((await lineOf(id, order!))!.dueInMs).toBeGreaterThan(3_600_000);
  await placed(1);
  for (let tries = 0; (await healthOf(id)).failingSince !== null; tries += 1) {
    expect(tries).toBeLessThan(50);
    await db.owner.query('update engine.endpoint set resume_at = clock_timestamp() where id = $1', [id.slice(3)]);
    const taken = await claim();
    await queue.settle(
      taken.filter(({ name }) => name === `evt_${order!}_1`),
      { status: 500 },
    );
    await queue.settle(
      taken.filter(({ name }) => name !== `evt_${order!}_1`),
      { status: 204 },
    );
  }
  expect((await claim()).map(({ name }) => name)).toEqual([`evt_${order!}_1`]);
});

test('an endpoint that is made or changed while events are published gets what its place says', async () => {
  const changed = await queue.endpoint();
  await reserved(db.owner);
  const { made, change } = await inTransaction(queue.worker, async (client) => {
    await client.query('select engine.publish_events(500)');
    const pending = {
      made: queue.endpoint(),
      change: changeEndpoint(queue.api, queue.proof, changed, { types: ['deposit.unpaid'] }),
    };
    // Until both wait for the publisher, or are through.
    await Promise.race([
      Promise.all([pending.made, pending.change]),
      (async () => {
        for (;;) {
          const { rows } = await db.owner.query(
            `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ 'make_endpoint|change_endpoint'`,
          );
          if (rows.length === 2) return;
        }
      })(),
    ]);
    return pending;
  });
  const id = await made;
  await change;
  expect(await findings()).toEqual([]);
  const { rows } = await db.owner.query('select from engine.delivery where endpoint = $1', [id.slice(3)]);
  expect(rows).toEqual([]);
});

test('nobody publishes or settles with a view of before', async () => {
  await queue.endpoint();
  await reserved(db.owner);
  const client = await queue.worker.connect();
  try {
    await client.query('begin isolation level repeatable read');
    await expect(client.query('select engine.publish_events(500)')).rejects.toThrow('read committed');
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('the lines of a deleted endpoint go at once, however many', async () => {
  const id = await queue.endpoint();
  await placed(5);
  await deleteEndpoint(queue.api, queue.proof, id);
  while ((await forgetAnswers(queue.notifier, 2)) === 2);
  const { rows } = await db.owner.query('select from engine.delivery_line where endpoint = $1', [id.slice(3)]);
  expect(rows).toEqual([]);
});

test('a hundred endpoints that do not answer hold up a healthy one for two rounds at most', async () => {
  const proofs = [];
  for (let n = 0; n < 5; n += 1) {
    const { key } = await issueKey(db.owner, { name: `dead-${n}`, scopes: ['endpoints:manage'] });
    proofs.push(proofOf(key));
    for (let each = 0; each < 20; each += 1) await queue.endpoint({}, proofs[n]);
  }
  const id = await queue.endpoint();
  await placed(30);
  const rounds: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const taken = await claim();
    const healthy = taken.filter(({ endpoint }) => `ep_${endpoint}` === id);
    rounds.push(healthy.length);
    await queue.settle(healthy, { status: 204 });
    await queue.settle(
      taken.filter((one) => !healthy.includes(one)),
      { fault: 'timeout' },
    );
    await db.owner.query(`update engine.endpoint set resume_at = null where resume_at is not null`);
  }
  expect(rounds[0]! + rounds[1]!).toBeGreaterThan(0);
  expect(Math.min(...rounds.slice(2))).toBeGreaterThan(0);
  for (const proof of proofs)
    for (const { id: dead } of await listEndpoints(queue.api, { name: `dead-${proofs.indexOf(proof)}`, wallets: null }))
      await deleteEndpoint(queue.api, proof, dead);
});

test.each([0, 7])('after %i failures a claim reads few of many lines', async (failures) => {
  const id = await queue.endpoint();
  const [order] = await placed(1);
  const of = [id.slice(3)];
  await byHand(
    db.owner,
    `insert into engine.delivery_line (endpoint, subject, next_at) select $1::bigint, 'x-' || n, clock_timestamp() from generate_series(1, 20000) n`,
    of,
  );
  await db.owner.query('analyze engine.delivery_line');
  await db.owner.query(`update engine.endpoint set failures = $2 where id = $1`, [...of, failures]);
  const read = await inTransaction(queue.notifier, async (client) => {
    const count = async () => {
      const { rows } = await client.query<{ read: number }>(
        `select (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as read from pg_stat_xact_user_tables where relname = 'delivery_line'`,
      );
      return rows[0]!.read;
    };
    const before = await count();
    await client.query('select engine.claim_deliveries(64)');
    return (await count()) - before;
  });
  await byHand(db.owner, `delete from engine.delivery_line where endpoint = $1 and subject <> $2`, [...of, order]);
  expect(read).toBeLessThan(3_000);
});
