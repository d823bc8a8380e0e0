import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { afterAll, expect, test } from 'vitest';
import { startPostgres } from '../../local/postgres.ts';
import { reviewWorkflowId } from '../../workflows/messages.ts';
import { required } from '../support/database.ts';
import { startEngine } from '../support/engine.ts';
import { migrateTemplate } from '../support/template.ts';
import { until } from '../support/until.ts';

/** The engine's Postgres is one of this file's own, so that it can be stopped; the sandbox keeps the shared one. */
const shared = new URL(required('TEST_POSTGRES_URL'));
const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-outage-'));
const directory = join(folder, 'postgres');
let postgres = await startPostgres({ directory, fsync: false });
await migrateTemplate(postgres.url);
afterAll(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});
process.env['TEST_POSTGRES_URL'] = postgres.url;
const engine = await startEngine({
  sandboxEnv: { DATABASE_URL_SANDBOX: shared.href, SANDBOX_SPEED: '600', SANDBOX_ANSWER_TIMEOUT: '20s' },
});

async function creditedOnce(externalOrderNumber: string): Promise<void> {
  await engine.untilState(externalOrderNumber, 'CREDITED');
  const { rows } = await engine.db.owner.query('select kind from ledger.transaction where deposit = $1', [
    externalOrderNumber,
  ]);
  expect(rows).toEqual([{ kind: 'credit' }]);
  await engine.auditLedger();
}

const deliveries = async (externalOrderNumber: string) =>
  (await engine.control('GET', `/orders/${externalOrderNumber}`)).orders[0].deliveries;

test('Temporal stopped: callbacks are acknowledged, and credited after it is back', async () => {
  const { body } = await engine.create();
  await engine.temporal.stop();
  await engine.pay(body.externalOrderNumber);
  await until(
    'the acknowledgement',
    async () => (await deliveries(body.externalOrderNumber))[0]?.state === 'ACKNOWLEDGED',
  );
  expect((await engine.deposit(body.externalOrderNumber)).state).toBe('AWAITING_PAYMENT');

  const refused = await engine.call('POST', '/v1/deposits', engine.body({ externalOrderNumber: 'while-away' }));
  expect(refused.status).toBe(503);
  expect(refused.body.code).toBe('unavailable');
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
  const { rows } = await engine.db.owner.query(
    'select n from engine.placement_attempt where external_order_number = $1',
    ['while-away'],
  );
  expect(rows).toEqual([]);

  await engine.startTemporal();
  await creditedOnce(body.externalOrderNumber);
  // The reservation made meanwhile is started by the relay, with one order.
  await engine.untilState('while-away', 'AWAITING_PAYMENT');
  expect((await engine.control('GET', '/orders/while-away')).orders).toHaveLength(1);
});

test('Postgres stopped: 503 and no acknowledgement, the provider retries, credited', async () => {
  const { body } = await engine.create();
  await postgres.stop();
  await engine.pay(body.externalOrderNumber);
  await until('a refused delivery', async () =>
    (await deliveries(body.externalOrderNumber))[0]?.attempts.some(
      (attempt: { httpStatus: number }) => attempt.httpStatus === 503,
    ),
  );
  expect((await engine.call('GET', '/v1/wallets/wallet-42')).status).toBe(503);
  postgres = await startPostgres({ directory, port: postgres.port, fsync: false, removeOnStop: true });
  await creditedOnce(body.externalOrderNumber);
});

test('a terminated deposit: its callback is acknowledged and lands in a review, nothing is posted', async () => {
  const { body } = await engine.create();
  const { externalOrderNumber } = body;
  await engine.client.workflow.getHandle(`deposit:${externalOrderNumber}`).terminate('by hand');
  await engine.pay(externalOrderNumber);
  const kept = await until('an outcome', async () => {
    const { rows } = await engine.db.owner.query<{ id: string; uid: string; outcome: string | null }>(
      'select id, uid, outcome from engine.callback where deposit = $1',
      [externalOrderNumber],
    );
    return rows[0]?.outcome === null ? null : rows[0];
  });
  expect(kept.outcome).toBe(`review:${reviewWorkflowId(kept)}`);
  const review = await engine.client.workflow.getHandle(reviewWorkflowId(kept)).describe();
  expect(review.status.name).toBe('RUNNING');
  expect(review.searchAttributes['ReviewReason']).toEqual(['WORKFLOW_GONE']);
  // The merchant reads that people have it.
  expect((await engine.deposit(externalOrderNumber)).otherPayments).toMatchObject([
    { case: reviewWorkflowId(kept), reason: 'WORKFLOW_GONE' },
  ]);
  expect(
    (await engine.db.owner.query('select from ledger.transaction where deposit = $1', [externalOrderNumber])).rowCount,
  ).toBe(0);
});

test('a reservation whose workflow was never started is started by the relay when its callback is already there', async () => {
  const { body } = await engine.create();
  const { externalOrderNumber } = body;
  const handle = engine.client.workflow.getHandle(`deposit:${externalOrderNumber}`);
  await engine.client.workflowService.deleteWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: handle.workflowId },
  });
  await until('the workflow to be gone', async () => {
    try {
      await handle.describe();
      return false;
    } catch (error) {
      return error instanceof WorkflowNotFoundError;
    }
  });
  // As after a restore of Temporal from a backup older than the database.
  await engine.db.owner.query(`update engine.deposit set state = 'PLACING' where external_order_number = $1`, [
    externalOrderNumber,
  ]);
  await engine.pay(externalOrderNumber);
  await creditedOnce(externalOrderNumber);
  expect((await engine.control('GET', `/orders/${externalOrderNumber}`)).orders).toHaveLength(1);
});
