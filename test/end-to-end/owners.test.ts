import { randomUUID } from 'node:crypto';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RelayTimes } from '../../intake/relay.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { bindCallback, insertCallback } from '../support/inbox.ts';
import { findNotCarriedOut, insertCase, suspenseWithoutCase } from '../../database/cases.ts';
import { reserve } from '../../database/deposits.ts';
import { inTransaction } from '../../database/pool.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { sealName } from '../../database/sealed-name.ts';
import { arrives, opened, operator, placed } from '../api/decisions.ts';
import {
  attempts,
  expectRefusal,
  fault,
  inbox,
  type MemoryLog,
  ordersAtProvider,
  postings,
  seenByProvider,
  workflowStatus,
} from '../api/evidence.ts';
import { expectAck, loggedApi } from '../api/parts.ts';
import { order as buildOrder, paid, settings } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/callbacks.ts';
import { startEngine } from '../support/engine.ts';
import { cameEarlier, sealed } from '../support/seals.ts';
import { until } from '../support/until.ts';
import { byHand } from '../support/database.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** Every open row has an owner: a running workflow, or people who were told. On a real PostgreSQL and a real Temporal. */
const engine = await startEngine();
const IDLE = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 60_000, withoutEffectMs: 400 };
const idle = await loggedApi(engine, IDLE);
const { owner } = engine.db;
const payerNameKey = loadApiConfig(engine.env).keys.rings.payerName.current;
const alice = await operator(engine, 'alice');
const statusOf = (n: string) => workflowStatus(engine, depositWorkflowId(n));

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
    // An API that wrote the step and died before it told the workflow.
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

const QUICK: RelayTimes = { everyMs: 100, freshMs: 500, againMs: 1_000, unstartedMs: 300, lagMs: 300 };
let api: MemoryLog;
/** From here on the relay is in a hurry. */
const hurry = async () => {
  api ??= await loggedApi(engine, QUICK);
};

async function deleted(n: string): Promise<void> {
  await engine.client.workflowService.deleteWorkflowExecution({
    namespace: engine.temporal.namespace,
    workflowExecution: { workflowId: depositWorkflowId(n) },
  });
}

/** A workflow under the deposit's id that ended so, or is gone again; nobody's worker has it. */
async function past(n: string, how: string): Promise<void> {
  if (how === 'never started') return;
  const taskQueue = `nobody-${n}`;
  const handle = await engine.client.workflow.start('deposit', {
    workflowId: depositWorkflowId(n),
    taskQueue,
    args: [],
  });
  if (how === 'terminated') return handle.terminate('by hand').then(() => undefined);
  if (how === 'deleted') {
    await deleted(n);
    await until('it to be gone', async () => (await statusOf(n)) === null);
    return;
  }
  const { taskToken } = await engine.client.withDeadline(Date.now() + 20_000, () =>
    engine.client.workflowService.pollWorkflowTaskQueue({
      namespace: engine.temporal.namespace,
      taskQueue: { name: taskQueue },
    }),
  );
  const { CommandType } = temporal.api.enums.v1;
  await engine.client.workflowService.respondWorkflowTaskCompleted({
    namespace: engine.temporal.namespace,
    taskToken,
    commands: [
      how === 'failed'
        ? {
            commandType: CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
            failWorkflowExecutionCommandAttributes: { failure: { message: 'a defect' } },
          }
        : {
            commandType: CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
            completeWorkflowExecutionCommandAttributes: {
              result: {
                payloads: [
                  {
                    metadata: { encoding: Buffer.from('json/plain') },
                    data: Buffer.from(JSON.stringify({ state: 'UNPAID', postingId: null })),
                  },
                ],
              },
            },
          },
    ],
  });
}

/** States of {@link write} with a payment; the last three stand so by no way of ours. */
const PAID = ['IN_REVIEW', 'paid', 'without case', 'case closed', 'settled by nothing'];

/** A row as it stands in this state, whatever became of its workflow. */
async function write(n: string, state: string): Promise<void> {
  const order = buildOrder({ externalOrderNumber: n });
  const name = sealName(payerNameKey, n, 'Li Ming');
  await inTransaction(owner, async (client) => {
    await reserve(client, {
      ...order,
      supportLanguage: 'en',
      payerName: name.bytes,
      payerNameKey: name.keyId,
      fingerprint: Buffer.alloc(32),
      settings: settings(),
    });
    if (state === 'PLACING') return;
    await client.query('set local session_replication_role = replica');
    const shown = PAID.includes(state) ? 'AWAITING_PAYMENT' : state;
    const answer =
      shown === 'PLACEMENT_UNKNOWN'
        ? { kind: 'unknown', cause: 'no answer' }
        : { kind: 'placed', redirectUrl: 'https://pay.example/1', advertisementCode: 'AD1', providerTimeMs: null };
    await client.query(
      `insert into engine.placement_attempt (external_order_number, n, deadline, outcome, answer)
       values ($1, 1, clock_timestamp(), $2::jsonb->>'kind', $2)`,
      [n, answer],
    );
    await client.query(
      `update engine.deposit set state = $2, expires_at = clock_timestamp() + interval '1 hour', listening_until = clock_timestamp() + interval '3 days'
        where external_order_number = $1`,
      [n, shown],
    );
    if (shown === state) return;
    const data = paid(order);
    const callback = await insertCallback(
      client,
      sealed({
        externalOrderNumber: n,
        deposit: n,
        contentHash: contentHash(data),
        data,
        raw: Buffer.from('{}'),
        receipt: 'first',
        reviewReason: null,
        acked: true,
      }),
    );
    await bindCallback(client, n, callback.id);
    if (state === 'paid') {
      // Its workflow had heard of it, so nothing raises it for a while.
      await client.query(
        `update engine.callback set received_at = clock_timestamp() - interval '1 day', raised_at = clock_timestamp() where id = $1`,
        [callback.id],
      );
      return;
    }
    const workflowId = depositWorkflowId(n);
    await client.query('update engine.callback set outcome = $2 where id = $1', [callback.id, `review:${workflowId}`]);
    if (state === 'settled by nothing') return;
    await client.query(
      `update engine.deposit set state = 'IN_REVIEW', review_reason = 'LATE' where external_order_number = $1`,
      [n],
    );
    if (state === 'without case') return;
    await insertCase(client, { workflowId, inboxId: callback.id, reason: 'LATE', detail: '' });
    if (state === 'case closed')
      await client.query(
        `update engine.review_case set closed_at = clock_timestamp(), decision = 'reject', decided_by = 'alice+bob' where workflow_id = $1`,
        [workflowId],
      );
  });
}

interface Owned {
  readonly state: string;
  /** Of the workflow under the deposit's own id. */
  readonly workflow: string | null;
  /** Reasons of its open cases. */
  readonly cases: readonly string[];
  readonly held: string | null;
  readonly alarms: readonly string[];
  readonly orders: number;
}

async function ownerOf(n: string): Promise<Owned> {
  const { rows } = await owner.query<{ state: string; cases: string[]; held: string | null }>(
    `select d.state, coalesce(array_agg(v.reason order by v.reason) filter (where v.workflow_id is not null), '{}') as cases,
            max(coalesce(v.held_by, v.workflow_id)) as held
       from engine.deposit d left join engine.callback c on c.external_order_number = d.external_order_number
       left join engine.review_case v on v.callback = c.id and v.closed_at is null
      where d.external_order_number = $1 group by d.state`,
    [n],
  );
  const { state, cases, held } = rows[0]!;
  return {
    state,
    workflow: await statusOf(n),
    cases,
    held: held === null ? null : await workflowStatus(engine, held),
    // Rows are written after their workflows here, and an API that starts meanwhile misses them.
    alarms: [...new Set(api.alarms(n))].filter((alarm) => alarm !== 'deposit_row_missing').toSorted(),
    orders: await ordersAtProvider(engine, n),
  };
}

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
    // A payment is bound, and nothing came of it yet.
    paid: bound(
      (workflow) => people('AWAITING_PAYMENT', workflow, 'WORKFLOW_GONE', 'workflow_gone'),
      people('AWAITING_PAYMENT', 'COMPLETED', 'WORKFLOW_GONE', 'workflow_gone'),
    ),
    IN_REVIEW: bound(
      () => people('IN_REVIEW', 'RUNNING', 'LATE', 'workflow_gone'),
      people('IN_REVIEW', 'COMPLETED', 'LATE', 'case_reopened'),
    ),
    // It is for people, and nobody has it.
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
          seen = await ownerOf(n);
          return JSON.stringify(seen) === JSON.stringify(expected);
        },
        30_000,
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

/** Rows that fail whenever they are served, and come first: a hundred and one in front of each step. */
async function poison(): Promise<void> {
  const each = `generate_series(1, 101) i`;
  const deposits = (name: string) =>
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, created_at)
     select 'a-poison-${name}-' || i || repeat('x', 1100), 'w', 'MtcAmount', 5000, 'CNY', 'en', '', '{}', clock_timestamp() - interval '1 day' from ${each}`;
  const callbacks = (name: string, receipt: string, acked: boolean) =>
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, review_reason, acked, received_at)
     select 'a-poison-${name}-' || i || repeat('x', 1100), sha256(i::text::bytea), '', '${receipt}', ${receipt === 'first' ? 'null' : `'UNREADABLE'`}, ${acked}, clock_timestamp() - interval '1 day' from ${each}`;
  const where = (name: string) => `external_order_number like 'a-poison-${name}-%'`;
  await inTransaction(owner, async (client) => {
    for (const sql of [
      'set local session_replication_role = replica',
      // Temporal refuses ids of such a length.
      'alter table engine.deposit drop constraint deposit_external_order_number_check',
      // callbacks: bound ones without data.
      callbacks('callback', 'first', true),
      // reservations: none can be started.
      deposits('placing'),
      // late answers, and deposits: without the time that is to be told, and none can be started.
      deposits('answered'),
      `update engine.deposit set state = 'PLACEMENT_UNKNOWN', redirect_url = 'https://pay.example/1' where ${where('answered')}`,
      // cases: none can be started.
      callbacks('case', 'unreadable', true),
      `insert into engine.review_case (workflow_id, callback, reason, opened_at)
       select 'a-poison-case-' || id || repeat('x', 1100), id, 'UNREADABLE', clock_timestamp() - interval '1 day' from engine.callback where ${where('case')}`,
      `update engine.callback set outcome = 'review:a-poison-case' where ${where('case')}`,
      // settled deposits: none can be started.
      deposits('settled'),
      `update engine.deposit set state = 'REJECTED', settled_by = (select min(workflow_id) from engine.review_case where workflow_id like 'a-poison-case-%')
        where ${where('settled')}`,
      // deposits without a case: the database refuses to have it written.
      callbacks('review', 'first', true),
      deposits('review'),
      `update engine.callback set outcome = 'review:a-poison-review' where ${where('review')}`,
      `update engine.deposit d set state = 'IN_REVIEW',
              bound_callback = (select c.id from engine.callback c where c.external_order_number = d.external_order_number)
        where ${where('review')}`,
      // unknown orders: they have turned up, and the database refuses to have them routed.
      callbacks('unknown', 'unknown_order', false),
      deposits('unknown'),
      `update engine.deposit set state = 'EXPIRED' where ${where('unknown')}`,
      `create function engine.poisoned() returns trigger language plpgsql as $$ begin raise exception 'poisoned'; end $$`,
      `create trigger poisoned before insert on engine.review_case for each row when (new.workflow_id like 'deposit:a-poison-review-%') execute function engine.poisoned()`,
      `create trigger poisoned before update on engine.callback for each row when (old.${where('unknown')}) execute function engine.poisoned()`,
    ])
      await client.query(sql);
  });
}

/** One good row for each step that comes behind all of those; resolves when each was served. */
async function servesBehind(): Promise<void> {
  const [answered, settled] = [await placed(engine), await placed(engine)];
  await engine.pay(settled.externalOrderNumber);
  await engine.untilState(settled.externalOrderNumber, 'CREDITED');
  const startedAt = performance.now();
  const times: Record<string, number> = {};
  const isServed = async (step: string, ask: () => Promise<boolean>) => {
    await until(`${step}: the row behind`, ask, 60_000);
    times[step] = Math.round(performance.now() - startedAt);
  };
  const [reservation, deposit, held, unknown, alone] = Array.from({ length: 5 }, () => `z-${randomUUID()}`) as [
    string,
    string,
    string,
    string,
    string,
  ];
  await write(reservation, 'PLACING');
  await write(deposit, 'AWAITING_PAYMENT');
  await write(held, 'IN_REVIEW');
  await write(alone, 'without case');
  expectRefusal(
    await engine.callback(
      callbackAddress(engine, unknown),
      callbackBody(engine, paid(buildOrder({ externalOrderNumber: unknown }))),
    ),
    503,
    'unavailable',
  );
  await write(unknown, 'EXPIRED');
  const { id: inboxId } = await inTransaction(owner, (client) =>
    insertCallback(
      client,
      sealed({
        externalOrderNumber: deposit,
        deposit,
        contentHash: Buffer.alloc(32, 7),
        data: null,
        raw: Buffer.from(''),
        receipt: 'unreadable',
        reviewReason: 'UNREADABLE',
        acked: true,
      }),
    ),
  );
  await byHand(
    owner,
    `update engine.deposit set settled_by = (select min(workflow_id) from engine.review_case), told_at = null where external_order_number = $1`,
    [settled.externalOrderNumber],
  );
  await byHand(owner, `update engine.deposit set state = 'PLACEMENT_UNKNOWN' where external_order_number = $1`, [
    answered.externalOrderNumber,
  ]);
  const outcomeOf = async (where: string, value: string) =>
    (await owner.query(`select from engine.callback where ${where} = $1 and outcome is not null`, [value])).rowCount ===
    1;
  await Promise.all([
    isServed('callbacks', () => outcomeOf('id', inboxId)),
    isServed('reservations', async () => (await engine.deposit(reservation)).state === 'AWAITING_PAYMENT'),
    isServed('deposits', async () => (await statusOf(deposit)) === 'RUNNING'),
    isServed('cases', async () => (await statusOf(held)) === 'RUNNING'),
    isServed('deposits without a case', async () => (await ownerOf(alone)).held === 'RUNNING'),
    isServed('unknown orders', () => outcomeOf('external_order_number', unknown)),
    isServed('settled deposits', async () => {
      const { rows } = await owner.query('select told_at from engine.deposit where external_order_number = $1', [
        settled.externalOrderNumber,
      ]);
      return rows[0].told_at !== null;
    }),
    isServed('late answers', async () =>
      (
        (await engine.client.workflow.getHandle(depositWorkflowId(answered.externalOrderNumber)).fetchHistory())
          .events ?? []
      ).some((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'orderAnswered'),
    ),
  ]);
  if (process.env['SHOW_TIMES'] !== undefined) console.log(times);
}

test('a hundred and one rows that fail at every step hide no other row: each step serves what comes behind them', async () => {
  await hurry();
  await poison();
  await servesBehind();
  // Not one of the others was.
  const { rows } = await owner.query<{ n: string; left: number }>(
    `select substring(external_order_number from 'a-poison-([a-z]+)-') as n, count(*)::int as left
       from (select external_order_number from engine.deposit where state in ('PLACING', 'PLACEMENT_UNKNOWN', 'EXPIRED') or told_at is null
             union all
             select external_order_number from engine.callback where outcome is null or external_order_number like 'a-poison-case-%') x
      where external_order_number like 'a-poison-%' group by 1 order by 1`,
  );
  expect(rows.map(({ n }) => n)).toEqual(['answered', 'callback', 'case', 'placing', 'review', 'settled', 'unknown']);
  expect(rows.every(({ left }) => left % 101 === 0)).toBe(true);
  expect(await until('people to be told of one', async () => api.fields('relay_row_failed')[0])).toMatchObject({
    row: expect.stringMatching(/poison|^\d+$/),
  });
});

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];
const hung = new Set<string>();

/** A client whose calls with such an id are never answered, until their deadline. */
async function hangingClient(about: RegExp): Promise<Client> {
  const hanging: Interceptor = (options, nextCall) => {
    const call = nextCall(options);
    const send = call.sendMessageWithContext.bind(call);
    call.sendMessageWithContext = (context, message: Uint8Array) => {
      const [id] = about.exec(Buffer.from(message).toString('latin1')) ?? [];
      if (id === undefined) return send(context, message);
      hung.add(id);
      // The server waits for the message, and the call for its answer.
      call.halfClose = () => undefined;
    };
    call.sendMessage = (message) => call.sendMessageWithContext({}, message);
    return call as ReturnType<Interceptor>;
  };
  const connection = await Connection.connect({ address: engine.temporal.address, interceptors: [hanging] });
  afterAll(() => connection.close());
  return new Client({ ...engine.client.options, connection });
}

test('a hundred and one rows that hang at every step hold up no other row for long', async () => {
  const client = await hangingClient(/a-poison-(?:callback|placing|answered|settled|case)-\d+/);
  // Payments, and links, that somebody is to be told of: while no relay could tell them by a client that does not hang.
  const toTell = async () => {
    await byHand(
      owner,
      `update engine.callback set data = '{}' where external_order_number like 'a-poison-callback-%'`,
    );
    await byHand(
      owner,
      `update engine.deposit set expires_at = clock_timestamp() where external_order_number like 'a-poison-answered-%'`,
    );
  };
  const locker = await owner.connect();
  await locker.query(`set idle_in_transaction_session_timeout = 0; begin`);
  await locker.query(
    `select from engine.deposit where external_order_number like 'a-poison-unknown-%' for no key update`,
  );
  try {
    // Another process, which has met none of them.
    api = await loggedApi(engine, QUICK, client, toTell);
    await servesBehind();
  } finally {
    locker.release(true);
  }
  // The last of them may be begun a moment after the row behind was served.
  await until('all to have hung', async () => hung.size === 5 * 101);
  const steps = [...hung].map((id) => id.replace(/\d+$/, ''));
  expect(new Set(steps).size).toBe(5);
  for (const step of new Set(steps)) expect(steps.filter((one) => one === step)).toHaveLength(101);
});
