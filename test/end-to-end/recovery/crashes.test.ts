import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { afterAll, describe, expect, test } from 'vitest';
import { arrives, bookedFor, opened, operator, placed } from '../../api/decisions.ts';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { paid, transactionCode } from '../../support/builders.ts';
import { required } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { type Part, startPart } from '../../support/process.ts';

/**
 * Each part is killed with SIGKILL at a named point (telemetry/crash-points.ts), another takes over, and in the end the
 * money is there once. API and worker are real processes here.
 */
const engine = await startEngine({ worker: false, env: { MTPAY_DEADLINE: '2s', WORKFLOW_BUNDLE: await hasty() } });
engine.client = new Client({
  ...engine.client.options,
  connection: engine.client.connection,
  interceptors: {
    workflow: [
      { start: (input, next) => next({ ...input, options: { ...input.options, workflowTaskTimeout: msToTs('3s') } }) },
    ],
  },
});
await engine.api.close();
await engine.startApi();

/**
 * The workflows, with a timeout of 4 s instead of 15 for the dead worker of an activity. With the 3 s of a workflow
 * task here, everything is as in production, only sooner.
 */
async function hasty(): Promise<string> {
  const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
  const sooner = code.replace("startToCloseTimeout: '15s'", "startToCloseTimeout: '4s'");
  expect(sooner).not.toBe(code);
  const folder = await mkdtemp(join(tmpdir(), 'deposit-crashes-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'bundle.js'), sooner);
  return join(folder, 'bundle.js');
}

const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];

const orders = async (externalOrderNumber: string): Promise<number> => {
  const log = await engine.control('GET', '/log?limit=10000');
  return log.events.filter(
    (event: { kind: string; externalOrderNumber?: string }) =>
      event.kind === 'order.made' && event.externalOrderNumber === externalOrderNumber,
  ).length;
};

const workerThat = (crashAt?: string): Promise<Part> =>
  startPart('worker', { ...engine.env, ...(crashAt === undefined ? {} : { CRASH_AT: crashAt }) });

/**
 * The row shows it when the books do; the workflow's history follows a moment later. If its worker ends before that,
 * the next one repeats the step, and may be set to crash at just that point.
 */
async function credited(externalOrderNumber: string): Promise<void> {
  await engine.untilState(externalOrderNumber, 'CREDITED');
  await engine.client.workflow.getHandle(`deposit:${externalOrderNumber}`).result();
}

async function creditedOnce(externalOrderNumber: string): Promise<void> {
  await credited(externalOrderNumber);
  const { rows } = await engine.db.owner.query(
    'select kind, trim_scale(amount)::text as amount from ledger.transaction where deposit = $1',
    [externalOrderNumber],
  );
  expect(rows).toEqual([{ kind: 'credit', amount: '5000' }]);
  await engine.auditLedger();
}

describe('the worker is killed', () => {
  test.each(['credit.beforeTx', 'credit.afterCommit'])(
    'at %s: another worker takes over, one credit',
    async (point) => {
      const [doomed, { body }] = await Promise.all([workerThat(point), engine.create()]);
      await engine.untilState(body.externalOrderNumber, 'AWAITING_PAYMENT');
      await engine.pay(body.externalOrderNumber);
      expect(await doomed.exited).toBe('SIGKILL');
      const next = await workerThat();
      await creditedOnce(body.externalOrderNumber);
      await next.kill('SIGTERM');
    },
  );

  test.each(['decide.beforeTx', 'decide.betweenTx', 'decide.afterCommit'])(
    'at %s: another worker carries the decision out, one posting into the wallet',
    async (point) => {
      const first = await workerThat(point);
      const order = await placed(engine);
      const data = await arrives(engine, order, { transactionAmount: '4999' });
      const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
      const { body } = await alice.propose(id, { decision: 'credit', reason: 'as the statement says' });
      const confirming = bob.confirm(id, body.proposal.id);
      expect(await first.exited).toBe('SIGKILL');
      const next = await workerThat();
      await credited(order.externalOrderNumber);
      expect([200, 202]).toContain((await confirming).status);
      expect((await bookedFor(engine, data.transactionCode)).map(({ kind }) => kind)).toEqual(['suspense', 'release']);
      await engine.auditLedger();
      await next.kill('SIGTERM');
    },
  );

  test('at create.beforeComplete, the answer stored: the link is there, one order, one credit', async () => {
    const created = engine.create();
    const doomed = await workerThat('create.beforeComplete');
    expect(await doomed.exited).toBe('SIGKILL');
    const next = await workerThat();
    const { body } = await created;
    await engine.untilState(body.externalOrderNumber, 'AWAITING_PAYMENT');
    await engine.pay(body.externalOrderNumber);
    await creditedOnce(body.externalOrderNumber);
    expect(await orders(body.externalOrderNumber)).toBe(1);
    await next.kill('SIGTERM');
  });

  test('at create.afterResponse, the answer lost: unknown, never placed again, credited when the callback comes', async () => {
    const created = engine.create();
    const doomed = await workerThat('create.afterResponse');
    expect(await doomed.exited).toBe('SIGKILL');
    const next = await workerThat();
    const { body } = await created;
    await engine.untilState(body.externalOrderNumber, 'PLACEMENT_UNKNOWN');
    expect(await orders(body.externalOrderNumber)).toBe(1);
    await engine.pay(body.externalOrderNumber);
    await creditedOnce(body.externalOrderNumber);
    await next.kill('SIGTERM');
  });

  test('at create.beforeSend: unknown after the deadline, and nothing was ever sent', async () => {
    const created = engine.create();
    const doomed = await workerThat('create.beforeSend');
    expect(await doomed.exited).toBe('SIGKILL');
    const next = await workerThat();
    const { body } = await created;
    await engine.untilState(body.externalOrderNumber, 'PLACEMENT_UNKNOWN');
    expect(await orders(body.externalOrderNumber)).toBe(0);
    await next.kill('SIGTERM');
  });
});

describe('the API is killed', () => {
  /** The API of this process is closed for one that will crash, and is started again after it. */
  async function whileApiDies(crashAt: string, work: () => Promise<void>): Promise<void> {
    await engine.startWorker();
    await engine.api.close();
    const doomed = await startPart('api', { ...engine.env, CRASH_AT: crashAt });
    await work();
    expect(await doomed.exited).toBe('SIGKILL');
    await engine.startApi();
  }

  test.each(['api.afterReserve', 'api.afterWorkflowStart', 'api.beforeReply'])(
    'at %s: the repeat of the create is answered, one order, one credit',
    async (point) => {
      const body = engine.body();
      await whileApiDies(point, () => expect(engine.call('POST', '/v1/deposits', body)).rejects.toThrow());
      const repeat = await engine.call('POST', '/v1/deposits', body);
      expect(repeat.status).toBe(200);
      await engine.pay(repeat.body.externalOrderNumber);
      await creditedOnce(repeat.body.externalOrderNumber);
      expect(await orders(repeat.body.externalOrderNumber)).toBe(1);
    },
  );

  test('at cb.afterInboxInsert, where only what is no first payment comes by: its retry brings it, one case', async () => {
    const code = transactionCode();
    let order: Order | undefined;
    await whileApiDies('cb.afterInboxInsert', async () => {
      order = await placed(engine);
      await arrives(engine, order);
      await expect(arrives(engine, order, { transactionCode: code })).rejects.toThrow();
    });
    expect(await bookedFor(engine, code)).toEqual([]);
    await arrives(engine, order!, { transactionCode: code });
    await opened(alice, order!, 'SECOND_CODE', 'parked');
    await credited(order!.externalOrderNumber);
    expect((await bookedFor(engine, code)).map(({ kind }) => kind)).toEqual(['suspense']);
    await engine.auditLedger();
  });

  test.each(['cb.afterVerify', 'cb.afterCommit', 'cb.afterSignal'])(
    'at %s: the provider’s retry or the relay brings it, one credit',
    async (point) => {
      // Retries within seconds instead of minutes; the order of events stays.
      await engine.control('PUT', '/settings', { speed: 600 });
      const body = engine.body();
      await whileApiDies(point, async () => {
        expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(201);
        await engine.pay(String(body['externalOrderNumber']));
      });
      await creditedOnce(String(body['externalOrderNumber']));
    },
  );

  test('at cb.afterCommit of callbacks that share a commit: their retries or the relay bring them, one credit each', async () => {
    const placing: Order[] = [];
    let heard: PromiseSettledResult<unknown>[] = [];
    const payments = new Map<Order, CallbackData>();
    await whileApiDies('cb.afterCommit:3', async () => {
      placing.push(...(await Promise.all(Array.from({ length: 16 }, () => placed(engine)))));
      for (const order of placing) payments.set(order, paid(order));
      heard = await Promise.allSettled(placing.map((order) => arrives(engine, order, payments.get(order))));
    });
    expect(heard.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(12);
    for (const order of placing) await arrives(engine, order, payments.get(order));
    for (const { externalOrderNumber } of placing) await creditedOnce(externalOrderNumber);
  });
});
