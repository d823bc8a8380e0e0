import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { findNotCarriedOut, suspenseWithoutCase } from '../../../database/queries/due-rows.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';
import { arrives, opened, operator, placed } from '../../api/decisions.ts';
import { attempts, expectRefusal, fault, inbox, type MemoryLog, postings, seenByProvider } from '../../api/evidence.ts';
import { expectAck, loggedApi } from '../../api/parts.ts';
import { order as buildOrder, paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { byHand } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { cameEarlier } from '../../support/seals.ts';
import { until } from '../../support/until.ts';
import { openRows, QUICK, type Owned } from './open-rows.ts';

/**
 * Every open row has an owner: a running workflow, or operators who were alarmed. On a real PostgreSQL and a real
 * Temporal.
 */
const engine = await startEngine();
const IDLE = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 60_000, withoutEffectMs: 400 };
const idle = await loggedApi(engine, IDLE);
const { owner } = engine.db;
const alice = await operator(engine, 'alice');
const { statusOf, deleted, past, write, ownerOf } = openRows(engine);

describe('while no worker runs', () => {
  let settling = '';
  let stopped = '';

  test('a payment of which nothing comes is told with its age, and its workflow is told ever more seldom', async () => {
    const order = await placed(engine);
    const n = (settling = order.externalOrderNumber);
    await engine.stopWorker();
    const data = await arrives(engine, order);
    const told = await until('the alarm', async () => idle.fields('payment_without_effect')[0]);
    expect(told).toMatchObject({ deposit: n, inboxId: expect.any(String), count: 1 });
    expect(told['ageMs']).toBeGreaterThanOrEqual(IDLE.withoutEffectMs);
    const signals = async () =>
      ((await engine.client.workflow.getHandle(depositWorkflowId(n)).fetchHistory()).events ?? []).filter(
        (event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'callbackAccepted',
      ).length;
    await cameEarlier(owner, n, 5 * 60_000, 'first');
    await owner.query('update engine.callback set raised_at = clock_timestamp() where deposit = $1', [n]);
    const before = await signals();
    for (let i = 0; i < 20; i += 1)
      expectAck(await engine.callback(callbackAddress(engine, n), callbackBody(engine, data, Date.now() + i)));
    const ready = await engine.call('GET', '/readyz', undefined, { key: null });
    expect(ready).toMatchObject({ status: 200, body: { ready: true } });
    expect(ready.body.withoutEffectMs).toBeGreaterThanOrEqual(300_000);
    expect(await signals()).toBe(before);
  });

  test('a merchant who repeats a create whose workflow was stopped is told that nobody knows of the order, and it is owned', async () => {
    const body = engine.body();
    const n = (stopped = body['externalOrderNumber'] as string);
    const first = engine.call('POST', '/v1/deposits', body);
    await until('the workflow', async () => (await statusOf(n)) === 'RUNNING');
    const told = await until('the alarm', async () =>
      idle.fields('deposit_not_placed').find(({ deposit }) => deposit === n),
    );
    expect(told['ageMs']).toBeGreaterThanOrEqual(IDLE.withoutEffectMs);
    await engine.client.workflow.getHandle(depositWorkflowId(n)).terminate('by hand');
    const { status, body: shown } = await engine.call('POST', '/v1/deposits', body);
    expect({ status, state: shown.state }).toEqual({ status: 202, state: 'PLACEMENT_UNKNOWN' });
    expect((await first).body).toMatchObject({ externalOrderNumber: n, state: 'PLACEMENT_UNKNOWN' });
    expect(await statusOf(n)).toBe('RUNNING');
  });

  test('nothing is lost: when one is back the payment is credited, and the order is not placed', async () => {
    await engine.startWorker();
    await engine.untilState(settling, 'CREDITED');
    expect(await postings(engine, settling)).toEqual(['5000']);
    await until('the new workflow to wait', async () => {
      const { events } = await engine.client.workflow.getHandle(depositWorkflowId(stopped)).fetchHistory();
      return events?.some((event) => event.timerStartedEventAttributes);
    });
    expect(await seenByProvider(engine, stopped)).toEqual({ placements: 0, orders: 0 });
  });

  test('a decision that was confirmed and of which nothing comes is told with its age, until it is carried out', async () => {
    const order = buildOrder({ externalOrderNumber: settling });
    await arrives(engine, order);
    const { id } = await opened(alice, order, 'SECOND_CODE', 'parked');
    const { body } = await alice.propose(id, { decision: 'reject', reason: 'compared with the statement' });
    // An API that wrote the step and crashed before it signaled the workflow.
    await byHand(
      owner,
      `insert into engine.decision (callback, step, operator, workflow_id, proposal, at)
       select p.callback, 'confirm', 'bob', p.workflow_id, p.id, clock_timestamp() - interval '1 hour' from engine.decision p where p.id = $1`,
      [body.proposal.id],
    );
    const told = await until('the alarm', async () => idle.fields('decision_without_effect')[0]);
    expect(told).toMatchObject({ case: id, count: 1 });
    expect(told['ageMs']).toBeGreaterThanOrEqual(3_600_000);
    const confirmed = await (await operator(engine, 'bob')).confirm(id, body.proposal.id);
    expect(confirmed.status, confirmed.text).toBe(200);
    expect(await findNotCarriedOut(owner, 0)).toBeNull();
  });
});

let api: MemoryLog;
/** From here on the relay has short intervals. */
const hurry = async () => {
  api ??= await loggedApi(engine, QUICK);
};

describe('an open row of which the workflow is not there', () => {
  beforeAll(hurry);
  const runs = (state: string, ...alarms: string[]): Owned => ({
    state,
    workflow: 'RUNNING',
    cases: [],
    held: null,
    alarms,
    orders: 0,
  });
  const placedNow: Owned = { ...runs('AWAITING_PAYMENT'), orders: 1 };
  const people = (state: string, workflow: string | null, reason: string, ...alarms: string[]): Owned => ({
    ...runs(state, ...alarms),
    workflow,
    cases: [reason],
    held: 'RUNNING',
  });
  const waits = (state: string): Record<string, Owned> => ({
    'never started': runs(state, 'workflow_gone'),
    deleted: runs(state, 'workflow_gone'),
    terminated: runs(state, 'workflow_gone'),
    failed: runs(state, 'workflow_gone'),
    completed: people(state, 'COMPLETED', 'RESTORED', 'deposit_adopted'),
  });
  const bound = (held: (workflow: string | null) => Owned, completed: Owned) => ({
    'never started': held(null),
    deleted: held(null),
    terminated: held('TERMINATED'),
    failed: held('FAILED'),
    completed,
  });
  const toldOnly = (state: string) => {
    const told = (workflow: string | null): Owned => ({ ...runs(state, 'deposit_without_case'), workflow });
    return bound(told, told('COMPLETED'));
  };
  const TABLE: Record<string, Record<string, Owned>> = {
    PLACING: {
      'never started': placedNow,
      deleted: placedNow,
      terminated: runs('PLACEMENT_UNKNOWN', 'workflow_gone'),
      failed: runs('PLACEMENT_UNKNOWN', 'workflow_gone'),
      completed: people('PLACEMENT_UNKNOWN', 'COMPLETED', 'RESTORED', 'deposit_adopted'),
    },
    PLACEMENT_UNKNOWN: waits('PLACEMENT_UNKNOWN'),
    AWAITING_PAYMENT: waits('AWAITING_PAYMENT'),
    EXPIRED: waits('EXPIRED'),
    // A payment is bound, without an outcome yet.
    paid: bound(
      (workflow) => people('AWAITING_PAYMENT', workflow, 'WORKFLOW_GONE', 'workflow_gone'),
      people('AWAITING_PAYMENT', 'COMPLETED', 'WORKFLOW_GONE', 'workflow_gone'),
    ),
    IN_REVIEW: bound(
      () => people('IN_REVIEW', 'RUNNING', 'LATE', 'workflow_gone'),
      people('IN_REVIEW', 'COMPLETED', 'LATE', 'case_reopened'),
    ),
    // The payment needs a decision by operators, and no workflow holds it.
    'without case': bound(
      () => people('IN_REVIEW', 'RUNNING', 'LATE', 'case_rebuilt', 'workflow_gone'),
      people('IN_REVIEW', 'COMPLETED', 'LATE', 'case_rebuilt', 'case_reopened'),
    ),
    'case closed': toldOnly('IN_REVIEW'),
    'settled by nothing': toldOnly('AWAITING_PAYMENT'),
  };
  const all = Object.entries(TABLE).flatMap(([state, ways]) =>
    Object.entries(ways).map(([how, expected]) => ({ state, how, expected, n: randomUUID() as string })),
  );

  test('has an owner soon: in every state, whatever became of the workflow, and nothing is placed twice', async () => {
    expect(all).toHaveLength(45);
    await Promise.all(all.map(({ n, how }) => past(n, how)));
    for (const { n, state } of all) await write(n, state);
    for (const { state, how, expected, n } of all) {
      let seen: Owned | null = null;
      await until(
        `${state}, ${how}, to have its owner`,
        async () => {
          seen = await ownerOf(n, api);
          return JSON.stringify(seen) === JSON.stringify(expected);
        },
        undefined,
        () => `: ${JSON.stringify(seen)}`,
      );
    }
  });

  test.each(['terminated', 'deleted'])(
    'is credited by its payment, on the one order that was placed: %s',
    async (how) => {
      const { externalOrderNumber: n } = await placed(engine);
      const handle = engine.client.workflow.getHandle(depositWorkflowId(n));
      const { runId } = await handle.describe();
      await (how === 'terminated' ? handle.terminate('by hand') : deleted(n));
      await until('another run', async () => {
        const now = await handle.describe().catch(() => null);
        return now?.status.name === 'RUNNING' && now.runId !== runId;
      });
      await engine.pay(n);
      await engine.untilState(n, 'CREDITED');
      expect(await seenByProvider(engine, n)).toEqual({ placements: 1, orders: 1 });
      expect(await postings(engine, n)).toEqual(['5000']);
      await engine.auditLedger();
    },
  );
});

describe('a deposit whose workflow runs', () => {
  beforeAll(hurry);
  const ended = (n: string, settled: object) =>
    byHand(
      owner,
      `update engine.deposit set expires_at = clock_timestamp() - interval '1 hour', listening_until = clock_timestamp() - interval '1 hour',
              settings = settings || $2 where external_order_number = $1`,
      [n, settled],
    );

  test('and does nothing is told of when its windows are long over, and only then', async () => {
    const [stuck, unknown, anew] = [randomUUID(), randomUUID(), randomUUID()] as const;
    for (const n of [stuck, unknown, anew])
      await engine.client.workflow.start('deposit', {
        workflowId: depositWorkflowId(n),
        taskQueue: `nobody-${n}`,
        args: [],
      });
    await write(stuck, 'AWAITING_PAYMENT');
    await write(unknown, 'PLACEMENT_UNKNOWN');
    await write(anew, 'EXPIRED');
    await ended(stuck, { paymentWindowMs: 0 });
    await ended(unknown, { paymentWindowMs: 0, listeningWindowMs: 0 });
    // Its workflow is younger than its row, and waits for as long as a row of today would.
    await ended(anew, {});
    for (const n of [stuck, unknown]) {
      const told = await until('the alarm', async () =>
        api.fields('deposit_overdue').find(({ deposit, about }) => deposit === n || Object.hasOwn(about ?? {}, n)),
      );
      expect(told['ageMs']).toBeGreaterThanOrEqual(3_600_000);
    }
    for (const n of [stuck, unknown, anew]) expect(await statusOf(n)).toBe('RUNNING');
    expect(api.alarms(anew)).not.toContain('deposit_overdue');
  });
});

test('a workflow terminated twice while its order is under way: placed once, and told to merchants, workflow and row alike', async () => {
  await hurry();
  const body = engine.body();
  const n = body['externalOrderNumber'] as string;
  await fault(engine, n, 'slow', { ms: 3_000 });
  const first = engine.call('POST', '/v1/deposits', body);
  await until('the attempt', async () => (await attempts(engine, n)).length > 0);
  const handle = engine.client.workflow.getHandle(depositWorkflowId(n));
  for (let times = 0; times < 2; times += 1) {
    const { runId } = await handle.describe();
    await handle.terminate('by hand');
    await engine.call('POST', '/v1/deposits', body);
    await until('another run', async () => {
      const now = await handle.describe();
      return now.runId !== runId && now.status.name === 'RUNNING';
    });
  }
  await first;
  await engine.untilState(n, 'AWAITING_PAYMENT');
  expect(await engine.call('POST', '/v1/deposits', body)).toMatchObject({
    status: 200,
    body: { state: 'AWAITING_PAYMENT', redirectUrl: expect.any(String) },
  });
  expect(await seenByProvider(engine, n)).toEqual({ placements: 1, orders: 1 });
  await engine.pay(n);
  await engine.untilState(n, 'CREDITED');
  expect(await postings(engine, n)).toEqual(['5000']);
  await engine.auditLedger();
});

test('money in suspense whose case nobody has any more is told of, and only then', async () => {
  await hurry();
  const order = await placed(engine);
  await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  await arrives(engine, order);
  const { id } = await opened(alice, order, 'SECOND_CODE', 'parked');
  expect(await suspenseWithoutCase(owner)).toBe('0');
  const closed = (by: string | null) =>
    byHand(
      owner,
      `update engine.review_case set closed_at = $2, decision = $3, decided_by = $4 where workflow_id = $1`,
      by === null ? [id, null, null, null] : [id, new Date(), 'reject', by],
    );
  await closed('alice+bob');
  await until('the alarm', async () => api.fields('suspense_without_case').find(({ amount }) => amount === '5000'));
  await closed(null);
  expect(await suspenseWithoutCase(owner)).toBe('0');
});

describe('an order that we did not have, claimed once', () => {
  beforeAll(hurry);
  const claim = async (n: string, change = {}) => {
    const data = paid(buildOrder({ externalOrderNumber: n }), change);
    const answer = await engine.callback(callbackAddress(engine, n), callbackBody(engine, data));
    expectRefusal(answer, 503, 'unavailable');
    return data;
  };

  test('becomes a case by itself after six hours, and is acknowledged from then on', async () => {
    const n = randomUUID();
    const data = await claim(n);
    const [kept] = await inbox(engine, n);
    expect(kept).toMatchObject({ acked: false, outcome: null });
    await cameEarlier(owner, n, 6 * 3_600_000 + 60_000);
    await opened(alice, buildOrder({ externalOrderNumber: n }), 'UNKNOWN_ORDER', 'nothing');
    expect(await inbox(engine, n)).toMatchObject([{ receipt: 'unknown_order', acked: true, attempts: 1 }]);
    expect(api.alarms(n)).toContain('callback_unknown_order');
    expectAck(await engine.callback(callbackAddress(engine, n), callbackBody(engine, data)));
    expect(await postings(engine, n)).toEqual([]);
  });

  test('is credited without another delivery when its order turns up; further codes are for people', async () => {
    const body = engine.body();
    const n = body['externalOrderNumber'] as string;
    await claim(n);
    const second = await claim(n);
    await claim(n, { transactionAmount: '0' });
    expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(201);
    await engine.untilState(n, 'CREDITED');
    const rows = await until('the others', async () => {
      const rows = await inbox(engine, n);
      return rows.every(({ outcome }) => outcome !== null) && rows;
    });
    expect(rows).toMatchObject([
      { receipt: 'first', attempts: 1, acked: true, deposit: n },
      { reason: 'SECOND_CODE', attempts: 1, code: second.transactionCode, deposit: n },
      { reason: 'UNREADABLE', attempts: 1, deposit: n },
    ]);
    const { rows: bound } = await owner.query(
      `select from engine.callback c join engine.callback_stamp s using (external_order_number, content_hash)
        where c.external_order_number = $1 and c.receipt = 'first'`,
      [n],
    );
    expect(bound).toHaveLength(1);
    expect(await postings(engine, n)).toEqual(['5000']);
  });

  test('is for people when its order turns up and was never sent: an old stamp proves nothing', async () => {
    const n = randomUUID();
    await claim(n);
    await past(n, 'terminated');
    await write(n, 'PLACING');
    await opened(alice, buildOrder({ externalOrderNumber: n }), 'STAMP_BEFORE_ORDER', 'nothing');
  });
});
