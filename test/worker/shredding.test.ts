import { expect, test } from 'vitest';
import { startShredding } from '../../worker/shredding.ts';
import { memoryLog } from '../api/evidence.ts';
import { counted } from '../support/database.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

const engine = await startEngine({ env: { PAYER_NAME_RETENTION: '0s' } });

const nameOf = async (externalOrderNumber: string) => {
  const { rows } = await engine.db.owner.query<{ name: Buffer | null }>(
    'select payer_name as name from engine.deposit where external_order_number = $1',
    [externalOrderNumber],
  );
  return rows[0]!.name;
};
const erased = (externalOrderNumber: string) =>
  until('the name to be erased', async () => (await nameOf(externalOrderNumber)) === null);
const restartWorker = async () => {
  await engine.stopWorker();
  await engine.startWorker();
};

test('a deposit whose name was erased answers its repeats, refuses other names and is credited', async () => {
  const body = engine.body({ payerRealName: 'Ouyang Nana' });
  const first = await engine.call('POST', '/v1/deposits', body);
  const { externalOrderNumber } = first.body;
  expect(await nameOf(externalOrderNumber)).not.toBeNull();
  // It checks at its start; five minutes are too long for a test.
  await restartWorker();
  await erased(externalOrderNumber);
  const again = await engine.call('POST', '/v1/deposits', body);
  expect({ status: again.status, body: again.body }).toEqual({ status: 200, body: first.body });
  const other = await engine.call('POST', '/v1/deposits', { ...body, payerRealName: 'Ouyang Nina' });
  expect({ status: other.status, code: other.body.code }).toEqual({ status: 409, code: 'other_parameters' });
  await engine.pay(externalOrderNumber);
  await engine.untilState(externalOrderNumber, 'CREDITED');
});

test('an order that could not be placed before its name was erased is refused, and nothing was sent', async () => {
  await engine.stopWorker();
  const create = engine.create();
  const { rows } = await until('the reservation', async () => {
    const found = await engine.db.owner.query<{ n: string }>(
      `select external_order_number as n from engine.deposit where state = 'PLACING'`,
    );
    return found.rows.length === 1 && found;
  });
  const { n } = rows[0]!;
  // One try was certainly not sent, so that the age alone does not refuse it; then nothing happened for a day.
  await engine.db.owner.query(
    `insert into engine.placement_attempt (external_order_number, n, deadline, outcome, answer)
     values ($1, 1, now(), 'not_sent', '{"kind":"not_sent","cause":"ECONNREFUSED"}')`,
    [n],
  );
  await engine.db.owner.query(
    `update engine.deposit set created_at = now() - interval '25 hours', payer_name = null, payer_name_key = null where external_order_number = $1`,
    [n],
  );
  await engine.startWorker();
  const answer = await create;
  expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 422, code: 'NOT_SENT' });
  const { events } = await engine.control('GET', '/log?limit=10000');
  expect(events.filter((event: { externalOrderNumber: string | null }) => event.externalOrderNumber === n)).toEqual([]);
});

test('names that cannot be erased for an hour are an alarm, once, and are erased when it works again', async () => {
  const { externalOrderNumber } = (await engine.create()).body;
  const { pool, asked } = counted(engine.db.poolFor('app_worker'));
  const memory = memoryLog();
  const refuse = 'revoke execute on function engine.shred_payer_names(interval, integer) from app_worker';
  await engine.db.owner.query(refuse);
  const shredding = startShredding({ pool, log: memory.log }, 0, 1);
  const alarms = () => memory.lines.filter((line) => line.includes('"alarm":"names_not_erased"')).length;
  await until('the alarm', async () => alarms() > 0);
  const told = asked();
  await until('as many tries again', async () => asked() > 2 * told);
  expect(alarms()).toBe(1);
  await engine.db.owner.query(refuse.replace('revoke', 'grant').replace('from', 'to'));
  await erased(externalOrderNumber);
  await shredding.close();
  expect(memory.lines.join('')).toContain('"shredded":1');
});
