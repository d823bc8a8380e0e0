import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { recordState } from '../../activities/bound-payment.ts';
import { createGenuineCreditor, credit } from '../../activities/crediting.ts';
import { decide, recordProposal } from '../../activities/deciding.ts';
import { insertCase } from '../support/operators.ts';
import { inTransaction } from '../../database/pool.ts';
import { createApiKey, proofOf } from '../../database/queries/api-keys.ts';
import { publishEvents } from '../../database/queries/events.ts';
import { findLateDeliveriesMs } from '../../database/queries/notifications/deliveries.ts';
import { changeEndpoint, makeEndpoint } from '../../database/queries/notifications/endpoints.ts';
import { startPruning } from '../../worker/pruning.ts';
import { startPublishing, startWatchingDeliveries } from '../../worker/publishing.ts';
import { memoryLog } from '../api/evidence.ts';
import { itemFor, received, reserved } from '../ledger/payments.ts';
import { paid } from '../support/builders.ts';
import { counted, createTestDatabase } from '../support/database.ts';
import { insertDecision } from '../support/operators.ts';
import { sealTrust } from '../support/seals.ts';
import { until } from '../support/until.ts';

/** The alarms of the worker's activities: each is logged once its reason is stored, and not before. */
const db = await createTestDatabase();
const [pool, decisions, api] = [db.poolFor('app_worker'), db.poolFor('app_decisions'), db.poolFor('app_api')];

/** While `work` runs, the role has no rights in the schema. */
async function without(role: string, work: () => Promise<void>): Promise<void> {
  await db.owner.query(`revoke usage on schema engine from ${role}`);
  try {
    await work();
  } finally {
    await db.owner.query(`grant usage on schema engine to ${role}`);
  }
}

/** A case for which two operators have proposed and confirmed a credit. */
async function decided() {
  const order = await reserved(db.owner);
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, paid(order), { receipt: 'other_content', bound: false }),
  );
  const workflowId = `review:${inboxId}`;
  await insertCase(db.owner, { workflowId, inboxId, reason: 'OTHER_CONTENT' });
  const body = { decision: 'credit', reason: 'compared', keep: false, toDeposit: null } as const;
  const { id: proposalId } = await insertDecision(api, { workflowId, operator: 'alice', step: 'propose', ...body });
  await recordProposal(pool, memoryLog().log, workflowId, proposalId);
  const confirms = { workflowId, operator: 'bob', step: 'confirm', proposal: proposalId, reason: null } as const;
  const { id: confirmationId } = await insertDecision(api, confirms);
  return { workflowId, proposalId, confirmationId };
}

test('ledger_unavailable: the worker’s role may not post, so the credit is tried again, and posted when it may', async () => {
  const order = await reserved(db.owner);
  const data = paid(order);
  const inboxId = await inTransaction(db.owner, (client) => received(client, data));
  const { log, fields } = memoryLog();
  const deps = { pool, post: createGenuineCreditor(pool, sealTrust), log };
  const item = itemFor(order, inboxId, data);
  await without('app_worker', () => expect(credit(deps, item)).rejects.toMatchObject({ code: '42501' }));
  expect(fields('ledger_unavailable')).toMatchObject([{ deposit: order.externalOrderNumber, code: '42501' }]);
  expect(await credit(deps, item)).toMatchObject({ kind: 'credited' });
  expect(fields('ledger_unavailable')).toHaveLength(1);
});

test('ledger_conflict: the ledger refuses the payment of a deposit, and the case says what it refused', async () => {
  const order = await reserved(db.owner);
  const data = paid(order);
  const inboxId = await inTransaction(db.owner, (client) => received(client, data));
  const { log, fields } = memoryLog();
  const item = itemFor(order, inboxId, data);
  const refused = Object.assign(new Error('a value'), { code: '23514' });
  const deps = { pool, log, post: () => Promise.reject(refused) };
  expect(await credit(deps, item)).toEqual({
    kind: 'conflict',
    reason: 'LEDGER_REJECTED',
    detail: 'the ledger refused the posting (SQLSTATE 23514): compare posting and inbox row',
  });
  expect(fields('ledger_conflict')).toMatchObject([{ deposit: order.externalOrderNumber, code: '23514' }]);
});

test('ledger_unavailable: so it is with what people have decided', async () => {
  const item = await decided();
  const { log, fields } = memoryLog();
  const deps = { pool: decisions, sealTrust, log };
  await without('app_decisions', () => expect(decide(deps, item)).rejects.toMatchObject({ code: '42501' }));
  expect(fields('ledger_unavailable')).toMatchObject([{ case: item.workflowId, code: '42501' }]);
  expect(await decide(deps, item)).toMatchObject({ kind: 'decided' });
  expect(fields('ledger_unavailable')).toHaveLength(1);
  expect(fields('decision_refused')).toEqual([]);
});

test('decision_refused: one of the two took the proposal back before the books heard of it', async () => {
  const item = await decided();
  const takesBack = {
    operator: 'alice',
    step: 'withdraw',
    proposal: item.proposalId,
    reason: 'thought again',
  } as const;
  await insertDecision(api, { workflowId: item.workflowId, ...takesBack });
  const { log, fields } = memoryLog();
  expect(await decide({ pool: decisions, sealTrust, log }, item)).toMatchObject({ kind: 'refused' });
  expect(fields('decision_refused')).toMatchObject([{ case: item.workflowId, refusal: 'withdrawn' }]);
});

test('step_not_written: a workflow is told of a proposal that no operator wrote down', async () => {
  const { workflowId, proposalId } = await decided();
  const { log, fields } = memoryLog();
  const said = {
    decisionId: proposalId,
    decision: 'credit',
    reason: 'compared',
    keep: false,
    toDeposit: null,
  } as const;
  const told = (operator: string) => recordProposal(pool, log, workflowId, proposalId, { ...said, operator });
  expect(await told('alice')).toEqual({ stands: true });
  expect(fields('step_not_written')).toEqual([]);
  expect(await told('bob')).toEqual({ stands: false });
  expect(fields('step_not_written')).toMatchObject([{ case: workflowId }]);
});

test('signal_without_payment: a workflow is told of money that the inbox does not bind to its deposit', async () => {
  const order = await reserved(db.owner);
  const data = paid(order);
  const inboxId = await inTransaction(db.owner, (client) =>
    received(client, data, { receipt: 'other_content', bound: false }),
  );
  const { log, fields } = memoryLog();
  const deps = { pool, post: createGenuineCreditor(pool, sealTrust), log };
  const item = itemFor(order, inboxId, data);
  expect(await credit(deps, item)).toMatchObject({ kind: 'unbound', binds: null });
  const deposit = order.externalOrderNumber;
  expect(fields('signal_without_payment')).toMatchObject([{ deposit, inboxId }]);
  // Once per run of the workflow, which passes on that the alarm was reported.
  await credit(deps, { ...item, reported: true });
  expect(fields('signal_without_payment')).toHaveLength(1);

  const early = await reserved(db.owner);
  const placing = early.externalOrderNumber;
  await recordState(pool, log, placing, 'AWAITING_PAYMENT');
  expect(fields('signal_without_payment').at(-1)).toMatchObject({ deposit: placing });
});

test('events_not_published: a minute in which nothing could be published, told once', async () => {
  const { log, fields } = memoryLog();
  const worker = counted(pool);
  await without('app_worker', async () => {
    const publishing = startPublishing({ pool: worker.pool, log }, 1);
    await until('more than a minute of them', async () => worker.asked() > 20);
    await publishing.close();
  });
  expect(fields('events_not_published')).toHaveLength(1);
});

test('deliveries_late: a message that nothing holds up has waited for a sender for more than five minutes', async () => {
  const proof = proofOf(await createApiKey(db.owner, { name: 'shop', scopes: ['endpoints:manage'] }));
  const wanted = { url: 'https://shop.example/', types: null, signature: 'v1', publicKey: null } as const;
  const id = await makeEndpoint(api, proof, { ...wanted, sealed: randomBytes(60) });
  await reserved(db.owner);
  while ((await publishEvents(pool)) > 0);
  const { log, fields } = memoryLog();
  const watching = startWatchingDeliveries({ pool, log });
  await until('a look', async () => (await findLateDeliveriesMs(pool)) > 0);
  await watching.close();
  expect(fields('deliveries_late')).toEqual([]);
  await db.owner.query(`update engine.delivery_line set next_at = next_at - interval '6 minutes'`);
  const again = startWatchingDeliveries({ pool, log });
  await until('the alarm', async () => fields('deliveries_late').length > 0);
  await again.close();
  expect(fields('deliveries_late')).toMatchObject([{ lateMs: expect.any(Number) }]);
  // Of one that fails, or is off, messages wait by right.
  await db.owner.query('update engine.endpoint set failures = 1');
  expect(await findLateDeliveriesMs(pool)).toBe(0);
  await changeEndpoint(api, proof, id, { enabled: false });
  expect(await findLateDeliveriesMs(pool)).toBe(0);
});

test('rows_not_pruned: a day of hours in which nothing could be deleted, told once', async () => {
  const { log, fields } = memoryLog();
  const worker = counted(pool);
  await without('app_worker', async () => {
    const pruning = startPruning({ pool: worker.pool, log }, 0, 1);
    await until('more than a day of them', async () => worker.asked() > 30);
    await pruning.close();
  });
  expect(fields('rows_not_pruned')).toHaveLength(1);
});
