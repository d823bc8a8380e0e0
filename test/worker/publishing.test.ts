import { expect, test } from 'vitest';
import { createLog } from '../../telemetry/log.ts';
import { startPublishing } from '../../worker/publishing.ts';
import { reserved } from '../ledger/payments.ts';
import { openQueue } from '../notifications/queue.ts';
import { createTestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const db = await createTestDatabase();
const queue = await openQueue(db);

test('a backlog that takes longer than a statement may is published in smaller parts', async () => {
  await queue.endpoint();
  for (let n = 0; n < 60; n += 1) await reserved(db.owner);
  // As with a thousand endpoints: 60 at once take 6 s, and a statement has 5.
  await db.owner.query(
    `create function engine.slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.1); return new; end'`,
  );
  await db.owner.query(
    'create trigger slow before insert on engine.delivery for each row execute function engine.slow()',
  );
  const publishing = startPublishing({ pool: queue.worker, log: createLog('test', 'silent') }, 1);
  await until('every event to be published', async () => {
    const { rows } = await db.owner.query('select from engine.event where position is null limit 1');
    return rows.length === 0;
  });
  await publishing.close();
  const { rows } = await db.owner.query<{ owed: number }>('select count(*)::int as owed from engine.delivery');
  expect(rows).toEqual([{ owed: 60 }]);
}, 300_000);
