import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, WorkflowNotFoundError } from '@temporalio/client';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { expectRefusal, memoryLog } from '../../api/evidence.ts';
import { placed } from '../../api/decisions.ts';
import { QUICK_RELAY, withApi } from '../../api/parts.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { byHand, required } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { migrateTemplate } from '../../support/template.ts';
import { until } from '../../support/until.ts';
import { reviewWorkflowId } from '../../../domain/ids.ts';

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
  ownTemporal: true,
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

const owner = async (...statements: readonly string[]) => {
  // Without the engine's own settings: this client may change settings that others may not.
  const client = new pg.Client({ connectionString: engine.db.url, options: '-c default_transaction_read_only=off' });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
};
/** The response to callers in every case: 2xx, or 503 with a Retry-After. */
const isHeard = ({ status, headers }: { status: number; headers: Headers }) =>
  (status >= 200 && status < 300) || (status === 503 && /^\d+$/.test(headers.get('retry-after') ?? ''));
const ready = async () => (await engine.call('GET', '/readyz')).status === 200;
const genuine = (externalOrderNumber: string, change = {}) =>
  engine.callback(
    callbackAddress(engine, externalOrderNumber),
    callbackBody(engine, {
      externalOrderNumber,
      transactionCode: `T-${externalOrderNumber}`,
      currencyCode: 'CNY',
      transactionAmount: '5000',
      paymentPrice: '36000',
      transactionCreateTime: '2021-07-01T00:00:00',
      paymentFinishedTime: '2021-07-01T00:05:00',
      ...change,
    }),
  );

test('connections cut again and again under callbacks and creates: 2xx or 503, no process ends, each is credited once', async () => {
  const numbers = (await Promise.all(Array.from({ length: 20 }, () => placed(engine)))).map(
    ({ externalOrderNumber }) => externalOrderNumber,
  );
  let cuts = 0;
  const cutting = (async () => {
    for (let round = 0; round < 5; round += 1) {
      const { rowCount } = await engine.db.owner.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'deposit-%' and datname = current_database()`,
      );
      cuts += rowCount ?? 0;
    }
  })();
  const more = Array.from({ length: 8 }, () => engine.body());
  const heard = await Promise.all([
    ...numbers.map((n) => genuine(n)),
    ...more.map((body) => engine.call('POST', '/v1/deposits', body)),
  ]);
  await cutting;
  expect(cuts).toBeGreaterThan(0);
  expect(heard.filter((answer) => !isHeard(answer)).map(({ status, text }) => [status, text])).toEqual([]);
  // The provider and the merchant retry.
  for (const n of numbers) await until(`${n} to be acknowledged`, async () => (await genuine(n)).status === 200);
  for (const body of more)
    await until('a create', async () => (await engine.call('POST', '/v1/deposits', body)).status < 300);
  for (const n of numbers) await creditedOnce(n);
});

test('a read-only server, and then a full disk: 503 and not ready, the connections are given up, all goes on afterwards', async () => {
  const [n, later] = (await Promise.all([engine.create(), engine.create()])).map(
    ({ body }) => body.externalOrderNumber as string,
  ) as [string, string];
  // Each backend reads the setting in its own time, so each writing endpoint is polled until it has.
  const doors = [() => genuine(n), () => engine.create()];
  await owner('alter system set default_transaction_read_only = on', 'select pg_reload_conf()');
  try {
    for (const door of doors) {
      const refused = await until('to be refused', async () => {
        const answer = await door();
        return answer.status < 300 ? null : answer;
      });
      expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
      expect(isHeard(refused)).toBe(true);
    }
    await until('not to be ready', async () => !(await ready()));
    expect(isHeard(await engine.call('GET', `/v1/deposits/${n}`))).toBe(true);
  } finally {
    await owner('alter system reset default_transaction_read_only', 'select pg_reload_conf()');
  }
  await until('to be ready', ready);

  // Stands in for a full disk: the server itself reports one to each transaction that changes the inbox.
  await owner(
    `create function public.disk_full() returns trigger language plpgsql as $$ begin
       raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`,
    'create trigger disk_full before insert on engine.callback for each row execute function public.disk_full()',
  );
  expect((await genuine(later)).status).toBe(503);
  expect(await ready()).toBe(false);
  await owner('drop trigger disk_full on engine.callback', 'drop function public.disk_full()');
  await until('to be ready', ready);
  for (const each of [n, later]) {
    await until('to be acknowledged', async () => (await genuine(each)).status === 200);
    await creditedOnce(each);
  }
});

test('one locked deposit takes nothing from the others: their callbacks, reads and creates are answered meanwhile', async () => {
  const [held, ...others] = (await Promise.all([1, 2, 3].map(() => engine.create()))).map(
    ({ body }) => body.externalOrderNumber as string,
  );
  const client = new pg.Client({ connectionString: engine.db.url });
  await client.connect();
  await client.query('begin');
  await client.query('select from engine.deposit where external_order_number = $1 for update', [held]);
  const hot = Array.from({ length: 80 }, (_, i) => genuine(held!, { transactionCode: `HOT${i}` }));
  // Requests beyond the queue's size get a 503 at once, the rest after a while; none waits longer than the lock
  // timeout.
  expect(isHeard(await Promise.race(hot))).toBe(true);
  for (const n of others) expect((await genuine(n)).status).toBe(200);
  expect((await engine.call('GET', `/v1/deposits/${held}`)).status).toBe(200);
  expect((await engine.create()).status).toBe(201);
  const waiting = await engine.db.owner.query(
    `select from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'deposit-api-callbacks' and datname = current_database()`,
  );
  expect(waiting.rowCount).toBeLessThanOrEqual(2);
  for (const answer of await Promise.all(hot)) expect([answer.status, isHeard(answer)]).toEqual([503, true]);
  await client.end();
  expect((await genuine(held!)).status).toBe(200);
  await creditedOnce(held!);
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
  // The merchant reads that the payment is in review.
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
    namespace: engine.temporal.namespace,
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
  await byHand(engine.db.owner, `update engine.deposit set state = 'PLACING' where external_order_number = $1`, [
    externalOrderNumber,
  ]);
  await engine.pay(externalOrderNumber);
  await creditedOnce(externalOrderNumber);
  expect((await engine.control('GET', `/orders/${externalOrderNumber}`)).orders).toHaveLength(1);
});

test('a Temporal without our namespace, and a database that refuses our login, are away: 503, told, and no process ends', async () => {
  const { externalOrderNumber: n } = (await engine.create()).body;
  const client = new Client({ connection: engine.client.connection, namespace: 'nowhere' });
  const memory = memoryLog();
  await withApi(engine, { client, log: memory.log, relay: { ...QUICK_RELAY, lagMs: 300 } }, async () => {
    expectRefusal(await engine.create(), 503, 'unavailable');
    expect((await engine.call('GET', '/readyz')).body).toMatchObject({ ready: true, temporal: 'down' });
    await until('an outage to be told', async () => memory.fields('relay_failed')[0]);
    expect(memory.fields('relay_row_failed')).toEqual([]);
    const { owner } = engine.db;
    // Of this database alone: other files share its server, and a role is the whole server's.
    const database = new URL(engine.db.url).pathname.slice(1);
    await owner.query(`alter database ${database} connection limit 0`);
    try {
      await owner.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'deposit-api%' and datname = current_database()`,
      );
      await until('it to be not ready', async () => (await engine.call('GET', '/readyz')).status === 503);
      expectRefusal(await engine.call('GET', `/v1/deposits/${n}`), 503, 'unavailable');
      expectRefusal(
        await engine.callback(callbackAddress(engine, n), callbackBody(engine, { externalOrderNumber: n })),
        503,
        'unavailable',
      );
    } finally {
      await owner.query(`alter database ${database} connection limit -1`);
    }
    await until('it to be ready', async () => (await engine.call('GET', '/readyz')).status === 200);
  });
});
