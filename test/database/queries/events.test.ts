import type pg from 'pg';
import { expect, test } from 'vitest';
import { listEvents, publishEvents } from '../../../database/queries/events.ts';
import { inTransaction } from '../../../database/pool.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { lockDeposit, type Payment, payment, payments, reserved } from '../../ledger/payments.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { eventFaults } from '../../support/events.ts';
import { until } from '../../support/until.ts';

/** Publishing, and the list, beside transactions of any length. */
const db = await createTestDatabase();
const [api, worker] = [db.poolFor('app_api'), db.poolFor('app_worker')];
const publishAll = async () => {
  while ((await publishEvents(worker)) > 0);
};
/** The deposits of all events of a type, in the order of the list. */
const listed = async (type: string, since?: Date) => {
  const { items } = await listEvents(api, { type, since, wallets: null, after: '0', limit: 200 });
  return (items as { data: { externalOrderNumber: string } }[]).map(({ data }) => data.externalOrderNumber);
};
const credits = () => listed('deposit.credited');

test('what happened since then is listed whole, also what was published before an effect that took a minute to commit', async () => {
  const [slow, quick] = [await reserved(db.owner), await reserved(db.owner)].map((one) => one.externalOrderNumber);
  const expire = (on: pg.Pool | pg.ClientBase, n: string) =>
    on.query(`update engine.deposit set state = 'EXPIRED' where external_order_number = $1`, [n]);
  await publishAll();
  const since = await inTransaction(db.owner, async (client) => {
    await expire(client, slow!);
    await client.query('set local session_replication_role = replica');
    const { rows } = await client.query<{ at: Date }>(
      `update engine.event set at = date_trunc('milliseconds', at) - interval '1 minute'
        where subject = $1 and type = 'deposit.expired' returning at`,
      [slow],
    );
    await expire(db.owner, quick!);
    await publishAll();
    return rows[0]!.at;
  });
  await publishAll();
  expect(await listed('deposit.expired')).toEqual([quick, slow]);
  expect(await listed('deposit.expired', since)).toEqual([quick, slow]);
});

test('a clock that is set back changes no order, and nothing is published before it happened', async () => {
  const [one] = await payments(db.owner, 1);
  await creditAll(worker, [one!.item]);
  await inTransaction(db.owner, async (client) => {
    await client.query('set local session_replication_role = replica');
    await client.query(`update engine.event set at = at + interval '1 hour' where subject = $1`, [one!.item.deposit]);
  });
  await publishAll();
  const [next] = await payments(db.owner, 1);
  await creditAll(worker, [next!.item]);
  await publishAll();
  expect((await credits()).slice(-2)).toEqual([one!.item.deposit, next!.item.deposit]);
  const { rows } = await db.owner.query(
    `select from (select published_at, lag(published_at) over (order by position) as before, at from engine.event) e
      where published_at < before or published_at < at`,
  );
  expect(rows).toEqual([]);
});

test('who keeps the turn stops the others, which say so once an event waits for a minute', async () => {
  const [one] = await payments(db.owner, 1);
  await inTransaction(worker, async (client) => {
    await client.query('select engine.publish_events(0)');
    await creditAll(worker, [one!.item]);
    expect(await publishEvents(worker)).toBe(0);
    await inTransaction(db.owner, async (owner) => {
      await owner.query('set local session_replication_role = replica');
      await owner.query(`update engine.event set at = at - interval '61 seconds' where position is null`);
    });
    await expect(publishEvents(worker)).rejects.toMatchObject({ code: '55P03' });
  });
  expect(await publishEvents(worker)).toBe(2);
  expect((await credits()).at(-1)).toBe(one!.item.deposit);
});

test('the places are one after the other, however many publish at once', async () => {
  const all = await payments(db.owner, 40);
  await Promise.all([
    ...all.map(({ item }) => creditAll(worker, [item])),
    ...Array.from({ length: 20 }, (_, i) => worker.query('select engine.publish_events($1)', [1 + (i % 4)])),
  ]);
  await publishAll();
  const faults = (await eventFaults(db.owner)).filter((fault) => !/was written|before it happened/.test(fault));
  expect(faults).toEqual([]);
});

test.each([
  [
    'give_to_people',
    (client: pg.ClientBase, { inboxId }: Payment) =>
      client.query(`select engine.give_to_people($1, 'AMOUNT_MISMATCH', '', false, false)`, [inboxId]),
  ],
  [
    'regain_case',
    (client: pg.ClientBase, { item }: Payment) => client.query('select engine.regain_case($1)', [item.deposit]),
  ],
] as const)(
  'a case that is opened for a payment, and one by %s at once, do not wait for each other',
  async (name, open) => {
    const one = await payment(db.owner);
    if (name === 'regain_case') {
      await byHand(db.owner, `update engine.deposit set state = 'IN_REVIEW' where external_order_number = $1`, [
        one.item.deposit,
      ]);
    }
    let other: Promise<unknown> = Promise.resolve();
    await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, one.item.deposit);
      other = api.query('select * from engine.open_case($1)', [one.inboxId]);
      await until('the other to wait', async () => {
        const { rowCount } = await db.owner.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%engine.open_case%'`,
        );
        return rowCount === 1;
      });
      await open(client, one);
    });
    await other;
    const { rows } = await db.owner.query<{ type: string }>(
      `select type from engine.event where subject = $1 and type like 'case.%'`,
      [one.item.deposit],
    );
    expect(rows).toEqual([{ type: 'case.opened' }]);
  },
);
