import { execFile } from 'node:child_process';
import { copyFile, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { withClient } from '../../../database/pool.ts';
import { describe, expect, test } from 'vitest';
import type { RelayTimes } from '../../../intake/relay/relay.ts';
import { ForgottenError } from '../../../database/empty-database.ts';
import { loadWorkerConfig } from '../../../config/settings/worker.ts';
import { createLog } from '../../../telemetry/log.ts';
import { loadDataConverter } from '../../../config/temporal.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { noteRestored } from '../../../database/queries/placements.ts';
import { startWorker } from '../../../worker/start.ts';
import { byHand, required } from '../../support/database.ts';
import { type Engine, startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { insertDecision } from '../../support/operators.ts';
import { confirm } from '../../../workflows/messages.ts';
import { startOf } from '../../support/programs.ts';

/**
 * PostgreSQL or Temporal restored to an older state, on real servers, with traffic before and after. Checks the claims
 * of docs/guides/restore.md: nothing is credited twice, nothing is placed twice, and every deposit has an owner.
 */
const RELAY = { everyMs: 100, freshMs: 500, againMs: 1_000, unstartedMs: 500, lagMs: 500 };
const engine = await startEngine({
  ownTemporal: true,
  // The sandbox is the provider: it keeps its own books, and no restore of ours touches them.
  sandboxEnv: { DATABASE_URL_SANDBOX: required('TEST_POSTGRES_URL'), SANDBOX_SPEED: '600' },
  relay: RELAY,
});
const operators = {
  alice: await createApiKey(engine.db.owner, { name: 'alice', scopes: ['reviews:decide'] }),
  bob: await createApiKey(engine.db.owner, { name: 'bob', scopes: ['reviews:decide'] }),
};
type Operator = keyof typeof operators;

const database = new URL(engine.db.url).pathname.slice(1);
async function asAdmin(...statements: string[]): Promise<void> {
  await withClient({ connectionString: required('TEST_POSTGRES_URL') }, async (admin) => {
    for (const statement of statements) await admin.query(statement);
  });
}
const alone = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`;

async function stopped(work: () => Promise<void>, relay?: RelayTimes): Promise<void> {
  await engine.api.close();
  await engine.stopWorker();
  await work();
  await engine.startWorker();
  await engine.startApi(relay);
}

/** A backup of one of the two, and its restore; taken while nothing is running. */
const postgres = {
  backup: () =>
    stopped(() =>
      asAdmin(alone, 'drop database if exists backup_pg', `create database backup_pg template ${database}`),
    ),
  restore: (meanwhile: () => Promise<void> = async () => {}) =>
    stopped(async () => {
      await asAdmin(alone, `drop database ${database}`, `create database ${database} template backup_pg`);
      await meanwhile();
    }),
};
const FILES = ['', '-wal', '-shm'];
const copied = async (from: string, to: string) => {
  for (const end of FILES) {
    await rm(`${to}${end}`, { force: true });
    await copyFile(`${from}${end}`, `${to}${end}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
};
const temporal = {
  backup: () =>
    stopped(async () => {
      await engine.temporal.stop();
      await copied(engine.temporalFile, `${engine.temporalFile}.backup`);
      await engine.startTemporal();
    }),
  restore: (meanwhile: () => Promise<void> = async () => {}, relay?: RelayTimes) =>
    stopped(async () => {
      await engine.temporal.stop();
      await copied(`${engine.temporalFile}.backup`, engine.temporalFile);
      await engine.startTemporal();
      await meanwhile();
    }, relay),
  lose: () => stopped(() => temporal.removed()),
  removed: async () => {
    await engine.temporal.stop();
    for (const end of FILES) await rm(`${engine.temporalFile}${end}`, { force: true });
    await engine.startTemporal();
  },
};

const asked = () => engine.body();
const create = async (body = asked()) => {
  const answer = await engine.call('POST', '/v1/deposits', body);
  return { ...answer, n: body['externalOrderNumber'] as string, asked: body };
};
const as = (operator: Operator, method: string, path: string, body?: unknown) =>
  engine.call(method, path, body, { key: operators[operator] });
const openCase = (n: string) =>
  until(`a case of ${n}`, async () => {
    const { body } = await as('alice', 'GET', '/v1/reviews?limit=100');
    return body.items.find((item: { externalOrderNumber: string }) => item.externalOrderNumber === n);
  });
/** A second payment of a credited deposit, in suspense, and its case. */
async function paidTwice() {
  const { n } = await create();
  await engine.pay(n);
  await engine.untilState(n, 'CREDITED');
  await engine.control('POST', `/orders/${n}/pay`, { again: true, immediately: true });
  const { id } = await openCase(n);
  await until('the money to wait', async () => (await postingsOf(n)).includes('suspense'));
  return { n, id: id as string };
}
/** Two operators take each step; steps that did not reach the workflow are repeated. */
async function decide(id: string, propose: object, confirm: object = {}) {
  const proposed = await until(`${id} to be proposed`, async () => {
    const answer = await as('alice', 'POST', `/v1/reviews/${id}/propose`, { reason: 'by the statement', ...propose });
    return answer.status === 200 && answer;
  });
  return until(`${id} to be decided`, async () => {
    const answer = await as('bob', 'POST', `/v1/reviews/${id}/confirm`, {
      proposal: proposed.body.proposal.id,
      ...confirm,
    });
    return answer.status === 200 && answer.body;
  });
}
const postingsOf = async (n: string) =>
  (
    await engine.db.owner.query<{ kind: string }>(
      'select kind from ledger.transaction where deposit = $1 order by id',
      [n],
    )
  ).rows.map((row) => row.kind);
const ordersAtProvider = async (n: string) => (await engine.control('GET', `/orders/${n}`)).orders.length as number;
const statusOf = async (workflowId: string) =>
  (await engine.client.workflow.getHandle(workflowId).describe()).status.name;

/** Ordinary deposits before and after: the engine works. */
async function traffic(): Promise<void> {
  const { n } = await create();
  await engine.pay(n);
  await engine.untilState(n, 'CREDITED');
  expect(await postingsOf(n)).toEqual(['credit']);
  await engine.auditLedger();
}

describe('PostgreSQL is older than Temporal', () => {
  test('a deposit that was credited since is not placed again; people see what its history says and credit it once', async () => {
    await traffic();
    await postgres.backup();
    const { n, asked: body } = await create();
    await engine.pay(n);
    await engine.untilState(n, 'CREDITED');
    const { transactionCode } = await engine.deposit(n);
    await postgres.restore();

    const repeated = await create(body);
    expect(repeated.status).toBe(202);
    const found = await openCase(n);
    expect(found).toMatchObject({ reason: 'RESTORED', standing: 'unreadable' });
    expect(found.detail).toContain(`state CREDITED`);
    expect(found.detail).toContain(transactionCode);
    expect(await engine.deposit(n)).toMatchObject({ state: 'PLACEMENT_UNKNOWN' });
    expect(await ordersAtProvider(n)).toBe(1);
    expect(await postingsOf(n)).toEqual([]);

    const facts = { transactionCode, amount: '5000', currencyCode: 'CNY', paymentPrice: '36000' };
    const decided = await decide(found.id, { decision: 'credit', facts }, { facts });
    expect(decided).toMatchObject({ state: 'closed', decision: 'credit', decidedBy: 'alice+bob' });
    expect(await engine.deposit(n)).toMatchObject({ state: 'CREDITED' });
    expect(await postingsOf(n)).toEqual(['suspense', 'release']);
    await traffic();
  });

  test('a deposit whose workflow waits for its payment is adopted: not placed again, its payment is for people, once', async () => {
    await postgres.backup();
    const { n, asked: body } = await create();
    await engine.untilState(n, 'AWAITING_PAYMENT');
    await postgres.restore();

    await create(body);
    await engine.untilState(n, 'PLACEMENT_UNKNOWN');
    expect(await ordersAtProvider(n)).toBe(1);
    expect(await statusOf(`deposit:${n}`)).toBe('RUNNING');
    await engine.pay(n);
    // The time of sending is lost, so no machine can distinguish an old signature from this one.
    const found = await openCase(n);
    expect(found).toMatchObject({ reason: 'STAMP_BEFORE_ORDER' });
    await decide(found.id, { decision: 'credit' });
    expect(await engine.untilState(n, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
    await until('its workflow to end', async () => (await statusOf(`deposit:${n}`)) === 'COMPLETED');
    await traffic();
  });

  test('ids of the inbox are given out again: each case is its own', async () => {
    await postgres.backup();
    const [before, after] = [await create(), await create()];
    for (const { n } of [before, after]) await engine.pay(n);
    for (const { n } of [before, after]) await engine.untilState(n, 'CREDITED');
    await engine.control('POST', `/orders/${before.n}/pay`, { again: true, immediately: true });
    const first = await openCase(before.n);
    await postgres.restore();

    const { n } = await create();
    await engine.pay(n);
    await engine.untilState(n, 'CREDITED');
    await engine.control('POST', `/orders/${n}/pay`, { again: true, immediately: true });
    const second = await openCase(n);
    expect(second.id).not.toBe(first.id);
    await until('it to be held', async () => (await statusOf(second.id).catch(() => null)) === 'RUNNING');
    const { rows } = await engine.db.owner.query(
      'select posting_id from engine.deposit where external_order_number = $1',
      [n],
    );
    await decide(second.id, { decision: 'credit', beside: rows[0].posting_id });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'release']);
    expect(await postingsOf(before.n)).toEqual([]);
    await engine.auditLedger();
  });

  test('a case whose row is lost is opened anew: people see what it was about, and credit it once', async () => {
    const { n } = await create();
    await engine.pay(n);
    await engine.untilState(n, 'CREDITED');
    const { rows } = await engine.db.owner.query<{ posting_id: string }>(
      'select posting_id from engine.deposit where external_order_number = $1',
      [n],
    );
    await postgres.backup();
    await engine.control('POST', `/orders/${n}/pay`, { again: true, immediately: true });
    const lost = await openCase(n);
    await postgres.restore(async () => {
      const restored = new pg.Pool({ connectionString: engine.db.url, max: 1 });
      await noteRestored(restored);
      await restored.end();
    });

    const found = await openCase(n);
    expect(found).toMatchObject({ reason: 'CASE_RESTORED', standing: 'unreadable' });
    expect(found.detail).toContain(`${lost.id} runs without a row: reason SECOND_CODE`);
    await until('the first to end', async () => (await statusOf(lost.id)) === 'TERMINATED');
    const payment = {
      transactionCode: lost.transactionCode,
      amount: '5000',
      currencyCode: 'CNY',
      paymentPrice: '36000',
    };
    expect(found.detail).toContain(`transaction ${lost.transactionCode}, amount 5000, currency CNY, price 36000`);
    await decide(found.id, { decision: 'credit', beside: rows[0]!.posting_id, facts: payment }, { facts: payment });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'release']);
    await traffic();
  });

  test('a case that was decided since is opened again, shows what was decided, and is decided again', async () => {
    const { n, id } = await paidTwice();
    await postgres.backup();
    await decide(id, { decision: 'reject' });
    await until('its workflow to end', async () => (await statusOf(id)) === 'COMPLETED');
    await postgres.restore();

    await until(
      'the case to be held again',
      async () => (await statusOf(`${id}:again:1`).catch(() => null)) === 'RUNNING',
    );
    expect(await openCase(n)).toMatchObject({ id, standing: 'parked' });
    await decide(id, { decision: 'reject' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
    await traffic();
  });

  test('an order that was being placed, its attempt lost and Temporal empty, is never placed again', async () => {
    await engine.stopWorker();
    const body = asked();
    const n = body['externalOrderNumber'] as string;
    // Nothing places it: the caller gets a 202 and has to ask again.
    expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(202);
    await postgres.backup();
    await engine.untilState(n, 'AWAITING_PAYMENT');
    await postgres.restore(async () => {
      await temporal.removed();
      const { stdout } = await promisify(execFile)(process.execPath, [...startOf('commands/restored.ts'), '--yes'], {
        env: { ...process.env, DATABASE_URL: engine.db.url },
      });
      expect(stdout).toMatch(/1 orders that were being placed are not placed again/);
    });
    await engine.untilState(n, 'PLACEMENT_UNKNOWN');
    expect(await ordersAtProvider(n)).toBe(1);
    await traffic();
  });
});

describe('PostgreSQL is restored twice to the same state', () => {
  test('what was decided in a life before is decided anew in each, by ids of its own, and money moves once', async () => {
    const { n, id } = await paidTwice();
    const balance = async () => (await engine.call('GET', '/v1/wallets/wallet-42')).body.balance as string;
    const before = await balance();
    await postgres.backup();
    /**
     * Every workflow that ever held the case; and the cases of the next inbox row, whose id is assigned again in each
     * life.
     */
    const [holders, others] = [new Set<string>(), new Set<string>()];
    for (const life of [1, 2, 3]) {
      if (life > 1) await postgres.restore();
      const heldBy = await until('the case to be held', async () => {
        const { rows } = await engine.db.owner.query<{ by: string }>(
          'select coalesce(held_by, workflow_id) as by from engine.review_case where workflow_id = $1',
          [id],
        );
        const by = rows[0]!.by;
        return !holders.has(by) && (await statusOf(by).catch(() => null)) === 'RUNNING' && by;
      });
      holders.add(heldBy);
      const other = await paidTwice();
      others.add(other.id);
      for (const of of [id, other.id]) await decide(of, { decision: 'reject' });
      await until('the case’s workflow to end', async () => (await statusOf(heldBy)) === 'COMPLETED');
      for (const of of [n, other.n]) expect(await postingsOf(of)).toEqual(['credit', 'suspense', 'reversal']);
    }
    expect([...holders]).toEqual([id, `${id}:again:1`, `${id}:again:2`]);
    expect(new Set([...others].map((other) => other.split('-')[0])).size).toBe(1);
    expect(others.size).toBe(3);
    expect(Number(await balance()) - Number(before)).toBe(5_000);
    await engine.auditLedger();
  });
});

describe('a case of which the table and the workflow know different steps', () => {
  const reject = { decision: 'reject', reason: 'by the statement' };

  test('the rows of a decision that is being carried out are lost: nothing comes of it, and the case is decided once', async () => {
    const { n, id } = await paidTwice();
    const { callback } = (
      await engine.db.owner.query<{ callback: string }>(
        'select callback from engine.review_case where workflow_id = $1',
        [id],
      )
    ).rows[0]!;
    await postgres.backup();
    const { body } = await as('alice', 'POST', `/v1/reviews/${id}/propose`, reject);
    // The books are away when the decision is to be carried out; this outage is why the backup is restored.
    await engine.db.owner.query(
      'revoke execute on function engine.bring_in(text, bigint, bigint, text) from app_decisions',
    );
    const proposal = body.proposal.id as string;
    const step = {
      workflowId: id,
      inboxId: callback,
      operator: 'bob',
      step: 'confirm',
      proposal,
      reason: null,
    } as const;
    const { id: decisionId } = await insertDecision(engine.db.owner, step);
    const confirmed = await engine.client.workflow.getHandle(id).startUpdate(confirm, {
      args: [{ decisionId, proposalId: proposal, operator: 'bob' }],
      waitForStage: 'ACCEPTED',
    });
    await postgres.restore();
    expect(await confirmed.result()).toMatchObject({ kind: 'refused', refusal: 'not_written' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense']);
    await decide(id, { decision: 'reject' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
    await until('the case’s workflow to end', async () => (await statusOf(id)) === 'COMPLETED');
    await traffic();
  });

  test('the row of a proposal that waits is lost: the case is decided all the same', async () => {
    const { n, id } = await paidTwice();
    await postgres.backup();
    expect((await as('alice', 'POST', `/v1/reviews/${id}/propose`, reject)).status).toBe(200);
    await postgres.restore();
    await decide(id, { decision: 'reject' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
  });

  test('a proposal waits again that was withdrawn since: the case is decided all the same', async () => {
    const { n, id } = await paidTwice();
    const { body } = await as('alice', 'POST', `/v1/reviews/${id}/propose`, reject);
    await temporal.backup();
    const withdrawal = { proposal: body.proposal.id, reason: 'thought again' };
    await until(
      'the withdrawal',
      async () => (await as('bob', 'POST', `/v1/reviews/${id}/withdraw`, withdrawal)).status === 200,
    );
    await temporal.restore();
    await decide(id, { decision: 'reject' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
  });

  test('money that was taken out of its wallet lies there again: what is shown as allowed is possible', async () => {
    const { n } = await create();
    await engine.pay(n);
    await engine.untilState(n, 'CREDITED');
    const doubt = await as('alice', 'POST', '/v1/reviews', { externalOrderNumber: n, reason: 'another wallet' });
    const { id } = doubt.body;
    await postgres.backup();
    await decide(id, { decision: 'reverse', keep: true });
    await postgres.restore();
    const { body } = await as('alice', 'GET', `/v1/reviews/${id}`);
    expect(body).toMatchObject({ standing: 'credited', allowed: ['reject', 'reverse'] });
    await decide(id, { decision: 'reverse', keep: true });
    await decide(id, { decision: 'restore' });
    expect(await postingsOf(n)).toEqual(['credit', 'reversal', 'reversal']);
    await engine.auditLedger();
  });
});

describe('Temporal is older than PostgreSQL', () => {
  test('a workflow that runs although its deposit was credited, and a case that runs although it was decided, end', async () => {
    const { n, id } = await paidTwice();
    const waiting = await create();
    await engine.untilState(waiting.n, 'AWAITING_PAYMENT');
    await temporal.backup();
    await engine.pay(waiting.n);
    await engine.untilState(waiting.n, 'CREDITED');
    await decide(id, { decision: 'reject' });
    await temporal.restore();

    await until('the deposit’s workflow to end', async () => (await statusOf(`deposit:${waiting.n}`)) === 'COMPLETED');
    await until('the case’s workflow to end', async () => (await statusOf(id)) === 'COMPLETED');
    expect(await postingsOf(waiting.n)).toEqual(['credit']);
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
    await traffic();
  });
});

describe('Temporal is restored to just before', () => {
  test('what was credited and decided while a row and its workflow may still lag ends as its row says, at the second look', async () => {
    const { n, id } = await paidTwice();
    const waiting = await create();
    await engine.untilState(waiting.n, 'AWAITING_PAYMENT');
    await temporal.backup();
    await engine.pay(waiting.n);
    await engine.untilState(waiting.n, 'CREDITED');
    await decide(id, { decision: 'reject' });
    // All of it dated to this very moment: the first look leaves it alone, since it may only lag behind.
    const now = async () => {
      await byHand(
        engine.db.owner,
        'update engine.deposit set closed_at = clock_timestamp() where external_order_number = $1',
        [waiting.n],
      );
      await byHand(
        engine.db.owner,
        'update engine.review_case set closed_at = clock_timestamp() where workflow_id = $1',
        [id],
      );
    };
    await temporal.restore(now, { ...RELAY, lagMs: 3_000 });
    for (const workflowId of [`deposit:${waiting.n}`, id])
      await until(`${workflowId} to end`, async () => (await statusOf(workflowId)) === 'COMPLETED');
    const handle = engine.client.workflow.getHandle(`deposit:${waiting.n}`);
    expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
    expect(await postingsOf(waiting.n)).toEqual(['credit']);
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
    await engine.auditLedger();
  });
});

describe('Temporal is empty', () => {
  test('open deposits and cases are held again: no second order, and payments settle', async () => {
    const waiting = await create();
    await engine.untilState(waiting.n, 'AWAITING_PAYMENT');
    const { n, id } = await paidTwice();
    await temporal.lose();

    await until(
      'the deposit to be held',
      async () => (await statusOf(`deposit:${waiting.n}`).catch(() => null)) === 'RUNNING',
    );
    await until('the case to be held', async () => (await statusOf(id).catch(() => null)) === 'RUNNING');
    await engine.pay(waiting.n);
    await engine.untilState(waiting.n, 'CREDITED');
    expect(await ordersAtProvider(waiting.n)).toBe(1);
    expect(await postingsOf(waiting.n)).toEqual(['credit']);
    await decide(id, { decision: 'reject' });
    expect(await postingsOf(n)).toEqual(['credit', 'suspense', 'reversal']);
    await traffic();
  });
});

describe('PostgreSQL is empty', () => {
  test('neither process starts on it, unless it is meant', async () => {
    await engine.api.close();
    await engine.stopWorker();
    await asAdmin(alone, `drop database ${database}`, `create database ${database} template engine_template`);
    await expect(engine.startApi()).rejects.toThrow(ForgottenError);
    const temporalConfig = {
      connectionOptions: { address: engine.temporal.address },
      namespace: engine.temporal.namespace,
      dataConverter: loadDataConverter(engine.env),
    };
    const start = (env: Engine['env']) =>
      startWorker(loadWorkerConfig(env), temporalConfig, createLog('worker', 'silent'));
    await expect(start(engine.env)).rejects.toThrow(/RESTORED_FROM_EMPTY=1/);
    await (await start({ ...engine.env, RESTORED_FROM_EMPTY: '1' })).stop();
  });
});
