import { expect, test } from 'vitest';
import { findWithoutRow } from '../../../audit/run/visibility.ts';
import { closedRun } from '../../../archive/closed-run.ts';
import { temporalHistories } from '../../../worker/temporal-histories.ts';
import { operator, opened, placed } from '../../api/decisions.ts';
import { loggedApi } from '../../api/parts.ts';
import { orderNumber } from '../../support/builders.ts';
import { endByHand, plain, SEALED, startByHand } from '../../support/workflows/by-hand.ts';
import { startEngine } from '../../support/engine.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { noteRestored } from '../../../database/queries/placements.ts';
import { until } from '../../support/until.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

/** An attacker who may write to Temporal starts workflows by hand: their content stops no other work. */
const RELAY = { everyMs: 100, freshMs: 500, againMs: 1_000, unstartedMs: 300, lagMs: 300 };
const engine = await startEngine({ relay: RELAY });
const { client } = engine;
// A database without a deposit would be taken for one that was lost.
await placed(engine);

const byHandStarted = (type: 'deposit' | 'review', id: string, input = SEALED) =>
  startByHand(client, type, id, { memo: SEALED, input });

test('one with a memo that nobody can open, or a name that no table holds, hides no other that runs without a row', async () => {
  const [hostile, lost] = [orderNumber(), orderNumber()];
  const log = await loggedApi(engine, RELAY, client, async () => {
    await byHandStarted('deposit', depositWorkflowId(hostile));
    await byHandStarted('deposit', 'deposit:a\0b');
    await byHandStarted('review', 'review:\0');
    await byHandStarted('review', 'review:999999-00000000');
    await client.workflow.start('deposit', { workflowId: depositWorkflowId(lost), taskQueue: 'nobody', args: [] });
  });
  const told = () => log.fields('deposit_row_missing').map((fields) => fields['deposit']);
  await until('all to be told', async () => [hostile, lost, 'a?b'].every((n) => told().includes(n)));
  const cases = () => log.fields('case_row_missing').map((fields) => fields['case']);
  await until('cases', async () => ['review:?', 'review:999999-00000000'].every((id) => cases().includes(id)));
  // The audit and the archiver continue as well.
  const fresh = await engine.db.owner.connect();
  try {
    await fresh.query('begin');
    const { findings } = await findWithoutRow(client, fresh);
    expect(findings.map(({ where }) => where)).toEqual(
      expect.arrayContaining([depositWorkflowId(hostile), depositWorkflowId(lost), 'deposit:a?b', 'review:?']),
    );
  } finally {
    await fresh.query('rollback');
    fresh.release();
  }
  const newest = await temporalHistories(client).newest(depositWorkflowId(hostile));
  expect(closedRun(newest!.history)).toBeNull();
});

test('a case without a row whose beginning nobody can read is told, also after a restore', async () => {
  const id = 'review:999998-00000000';
  const named = 'review:999997-00000000';
  const log = await loggedApi(engine, RELAY, client, async () => {
    await byHandStarted('review', id);
    await byHandStarted('review', named, plain({ externalOrderNumber: ['x'] }));
    await noteRestored(engine.db.owner);
  });
  const cases = () => log.fields('case_row_missing').map((fields) => fields['case']);
  await until('cases', async () => [id, named].every((one) => cases().includes(one)));
});

test('one that ended in place of a deposit, and nobody can open what it came to: people have the deposit', async () => {
  const alice = await operator(engine, 'alice');
  const order = await placed(engine);
  const id = depositWorkflowId(order.externalOrderNumber);
  await client.workflow.getHandle(id).terminate('to be another');
  await endByHand(client, await byHandStarted('deposit', id), SEALED);
  const found = await opened(alice, order, 'RESTORED', 'unreadable');
  expect((await alice.case(found.id)).detail ?? JSON.stringify(await alice.case(found.id))).toContain('cannot be read');
  // Its evidence reports it, and continues.
  const key = await createApiKey(engine.db.owner, { name: 'auditor', scopes: ['audit:read'] });
  const evidence = await engine.call('GET', `/v1/deposits/${order.externalOrderNumber}/evidence`, undefined, { key });
  expect(evidence).toMatchObject({ status: 200 });
  expect(JSON.stringify(evidence.body)).toContain('there is a history of it that cannot be read');
});
