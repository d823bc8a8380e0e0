import { expect, test } from 'vitest';
import { inTransaction } from '../../../database/pool.ts';
import { noteRestored } from '../../../database/queries/placements.ts';
import { arrives, decideTogether, opened, operator, placed } from '../../api/decisions.ts';
import { workflowStatus } from '../../api/evidence.ts';
import { loggedApi } from '../../api/parts.ts';
import { paid } from '../../support/builders.ts';
import { endByHand, plain, startByHand } from '../../support/workflows/by-hand.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { byHand } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

/** A decision in a case that a restore has caused ends no deposit that another workflow owns. */
const RELAY = { everyMs: 100, freshMs: 500, againMs: 1_000, unstartedMs: 300, lagMs: 300 };
const engine = await startEngine({ relay: RELAY });
const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
const { owner } = engine.db;

test('a case RESTORED that is rejected does not end a deposit whose own payment waits for people in another case', async () => {
  const order = await placed(engine);
  const n = order.externalOrderNumber;
  await engine.client.workflow.getHandle(depositWorkflowId(n)).terminate('to be another');
  // An attacker who may write to Temporal may have written any of it.
  const result = plain({ state: 'UNPAID', transactionCode: '\n'.repeat(100_000) });
  await endByHand(engine.client, await startByHand(engine.client, 'deposit', depositWorkflowId(n)), result);
  const restored = await opened(alice, order, 'RESTORED', 'unreadable');
  await arrives(engine, order);
  const paid = await opened(alice, order, 'WORKFLOW_GONE', 'nothing');
  await decideTogether(alice, bob, restored.id, { decision: 'reject' });
  const between = (await engine.deposit(n)).state;
  await decideTogether(alice, bob, paid.id, { decision: 'credit' });
  const shown = await engine.deposit(n);
  expect({ between, after: shown.state, credited: shown.creditedAmount }).toEqual({
    between: 'AWAITING_PAYMENT',
    after: 'CREDITED',
    credited: '5000',
  });
});

test('a case that runs and has no row, although no restore is noted since it began, is told and left as it is', async () => {
  const order = await placed(engine);
  await engine.callback(
    callbackAddress(engine, order.externalOrderNumber),
    callbackBody(engine, paid(order), Date.now() - 600_000),
  );
  const lost = await opened(alice, order, 'STAMP_BEFORE_ORDER', 'nothing');
  await byHand(owner, 'delete from engine.review_case where workflow_id = $1', [lost.id]);
  const log = await loggedApi(engine, RELAY);
  await until('the alarm', async () => log.fields('case_row_missing').some((told) => told['case'] === lost.id));
  expect(await workflowStatus(engine, lost.id)).toBe('RUNNING');
  expect(log.fields('case_rebuilt')).toEqual([]);
  await engine.client.workflow.getHandle(lost.id).terminate('the test is over');
});

test('a case that was rebuilt after a restore, rejected by people, does not end a deposit that waits for its payment', async () => {
  const order = await placed(engine);
  const n = order.externalOrderNumber;
  // An old ticket: STAMP_BEFORE_ORDER.
  const stray = paid(order);
  const answer = await engine.callback(callbackAddress(engine, n), callbackBody(engine, stray, Date.now() - 600_000));
  expect(answer.status).toBe(200);
  const lost = await opened(alice, order, 'STAMP_BEFORE_ORDER', 'nothing');
  // So that the relay writes nothing meanwhile.
  await loggedApi(engine, { ...RELAY, everyMs: 60_000 });
  // PostgreSQL is restored to a moment after the order and before the stray message.
  await inTransaction(owner, async (client) => {
    await client.query('set local session_replication_role = replica');
    await client.query('delete from engine.review_case where workflow_id = $1', [lost.id]);
    await client.query(
      'delete from engine.callback_attempt where callback in (select id from engine.callback where external_order_number = $1)',
      [n],
    );
    await client.query('delete from engine.callback_stamp where external_order_number = $1', [n]);
    await client.query('delete from engine.callback where external_order_number = $1', [n]);
  });
  await noteRestored(owner);
  const log = await loggedApi(engine, RELAY);
  const found = await opened(alice, order, 'CASE_RESTORED', 'unreadable');
  expect(log.alarms(n)).toContain('case_rebuilt');
  expect((await engine.deposit(n)).state).toBe('AWAITING_PAYMENT');
  // The stray message was no payment: two operators reject it.
  await decideTogether(alice, bob, found.id, { decision: 'reject' });
  expect((await engine.deposit(n)).state).toBe('AWAITING_PAYMENT');
  await engine.pay(n);
  await engine.untilState(n, 'CREDITED');
});
