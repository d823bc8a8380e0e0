import { expect, test } from 'vitest';
import { DELIVERIES } from '../../audit/tables/checks/delivery-checks.ts';
import { claimDeliveries } from '../../database/queries/notifications/deliveries.ts';
import { inTransaction } from '../../database/pool.ts';
import { reserved } from '../ledger/payments.ts';
import { createTestDatabase } from '../support/database.ts';
import { openQueue, pass } from './queue.ts';

/** The audit compares deliveries with events and attempts, both ways. */
const db = await createTestDatabase();
const queue = await openQueue(db);
const auditor = db.poolFor('auditor');

const found = async (on: Pick<typeof auditor, 'query'> = auditor): Promise<string[]> => {
  const all: string[] = [];
  for (const { sql } of DELIVERIES) {
    const { rows } = await on.query<{ place: string; detail: string }>(sql);
    all.push(...rows.map(({ place, detail }) => `${place} ${detail}`));
  }
  return all;
};

const [id, onlyEnds] = [await queue.endpoint(), await queue.endpoint({ types: ['deposit.unpaid'] })];
const [good, bad] = await Promise.all([reserved(db.owner), reserved(db.owner)]);
await db.owner.query(`update engine.deposit set state = 'EXPIRED' where external_order_number = any($1)`, [
  [good.externalOrderNumber, bad.externalOrderNumber],
]);
await queue.publish();
// One message is refused ten times and given up; all others are received.
for (let round = 0; round < 14; round += 1) {
  const taken = await claimDeliveries(queue.notifier, 64);
  const isRefused = ({ name }: { name: string }) => name === `evt_${bad.externalOrderNumber}_1`;
  await queue.settle(taken.filter(isRefused), { status: 500 });
  await queue.settle(
    taken.filter((one) => !isRefused(one)),
    { status: 204 },
  );
  await pass(db.owner, '27 hours');
  await db.owner.query('update engine.endpoint set failing_since = null');
}
const [waiting] = [await reserved(db.owner)];
await queue.publish();

test('a queue that was worked has no finding, with a message given up and one that waits', async () => {
  expect(await found()).toEqual([]);
  const { rows } = await db.owner.query<{ outcome: string | null; n: number }>(
    'select outcome, count(*)::int as n from engine.delivery group by outcome order by outcome',
  );
  expect(rows).toEqual([
    { outcome: 'delivered', n: 3 },
    { outcome: 'given_up', n: 1 },
    { outcome: null, n: 1 },
  ]);
});

const one = `subject = '${good.externalOrderNumber}' and sequence`;
const gaveUp = `subject = '${bad.externalOrderNumber}' and sequence = 1`;
test.each<[string, string, RegExp]>([
  [
    'an event that is not owed',
    `delete from engine.delivery_attempt where ${one} = 2; delete from engine.delivery where ${one} = 2`,
    /is not owed/,
  ],
  ['another place', `update engine.delivery set position = 99 where ${one} = 2`, /stands at 99/],
  [
    'an event of another wallet',
    `update engine.endpoint set wallets = '{other}' where 'ep_' || id = '${id}'`,
    /is limited to others/,
  ],
  [
    'a type that nobody asked for',
    `insert into engine.delivery (subject, sequence, endpoint, position) select subject, sequence, ${onlyEnds.slice(3)}, position from engine.delivery where ${one} = 1`,
    /does not want/,
  ],
  [
    'delivered without an attempt',
    `update engine.delivery_attempt set status = 500 where ${one} = 1`,
    /no attempt was received/,
  ],
  [
    'received and waiting',
    `update engine.delivery set outcome = null, settled_at = null where ${one} = 2`,
    /was received, and is waiting/,
  ],
  [
    'given up early',
    `delete from engine.delivery_attempt where id = (select min(id) from engine.delivery_attempt where ${gaveUp})`,
    /given up after 9/,
  ],
  [
    'in no line',
    `delete from engine.delivery_line where subject = '${waiting.externalOrderNumber}'`,
    /stands in no line/,
  ],
  ['another text', `update engine.delivery_attempt set body_hash = sha256('x') where ${one} = 1`, /sent another text/],
  ['another event', `update engine.event set data = data || '{"late": true}' where ${one} = 1`, /sent another text/],
  [
    'out of order',
    `update engine.delivery_attempt set id = -1 where ${one} = 2`,
    /was made before event 1 was received/,
  ],
])('%s is found', async (_, tamper, detail) => {
  const seen = await inTransaction(db.owner, async (client) => {
    await client.query('set local session_replication_role = replica');
    await client.query('alter table engine.delivery_attempt alter id drop identity');
    await client.query(tamper);
    const all = await found(client);
    await client.query('rollback');
    await client.query('begin');
    return all;
  });
  expect(seen.join('\n')).toMatch(detail);
  expect(await found()).toEqual([]);
});
