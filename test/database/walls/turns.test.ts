import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { appendArchive } from '../../../archive/chain.ts';
import { issueKey } from '../../../database/queries/api-keys.ts';
import { migrate, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { createPool, inTransaction, type Role } from '../../../database/pool.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { brokenBlocks, call, facts, faultsOf, payment, payments } from '../../ledger/payments.ts';
import { createTestDatabase, required } from '../../support/database.ts';
import { until } from '../../support/until.ts';

/** The writer of a chain waits for its turn: at a row that no login can lock, and not at an advisory lock. */
const db = await createTestDatabase();
const worker = db.poolFor('app_worker');

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

const HOLD = `select pg_advisory_lock(hashtext('ledger.block')), pg_advisory_lock(hashtext('engine.archive')),
                     pg_advisory_lock(hashtextextended('engine.api_key turns', 0))`;

it.each<Role>(['app_api', 'app_worker', 'app_decisions', 'auditor'])('is held up by no login: %s', async (role) => {
  const pool = db.poolFor(role);
  const login = await connect(db.urlFor(role));
  await login.query(HOLD);
  const { item } = await payment(db.owner);
  expect(await creditAll(worker, [item])).toMatchObject([{ outcome: 'posted' }]);
  const hash = Buffer.alloc(32);
  const run = { workflowId: 'w', runId: role, workflowType: 'deposit', status: 'COMPLETED', sdk: 's', version: 'v' };
  const closed = { closedAtUs: 1n, events: 1, historyHash: hash, bundleHash: null };
  await appendArchive(worker, { ...run, ...closed } as Parameters<typeof appendArchive>[1]);
  await issueKey(db.owner, { name: `turns-${role.replace('_', '-')}`, scopes: ['deposits:read'] });
  for (const table of ['ledger.turn', 'engine.turn']) {
    for (const sql of [`select from ${table} for key share`, `lock table ${table} in access share mode`]) {
      await expect(inTransaction(pool, (client) => client.query(sql))).rejects.toMatchObject({ code: '42501' });
    }
  }
});

it('goes on when who has it is cut off in the middle of a posting, which then was none', async () => {
  const [one, other] = [await payment(db.owner), await payment(db.owner)];
  const holder = await connect(db.urlFor('app_worker'));
  const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid');
  await holder.query('begin');
  const { deposit, wallet, transactionCode, amount, currencyCode, paymentPrice, inboxId } = one.item;
  const said = { provider_code: transactionCode, amount, fiat: currencyCode, fiat_amount: paymentPrice, late: false };
  await holder.query('select * from engine.credit($1)', [
    JSON.stringify([{ inbox_id: inboxId, deposit, wallet, ...said }]),
  ]);
  const waits = creditAll(worker, [other.item]);
  await until('it to wait for its turn', async () => {
    const found = await db.owner.query('select from pg_stat_activity where $1 = any(pg_blocking_pids(pid))', [
      rows[0]!.pid,
    ]);
    return found.rowCount === 1;
  });
  holder.on('error', () => undefined);
  await db.owner.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
  expect(await waits).toMatchObject([{ outcome: 'posted' }]);
  expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'posted' }]);
  expect(await brokenBlocks(db.owner)).toEqual([]);
});

it('is asked for by functions alone, and by none of them as an advisory lock', async () => {
  const { rows } = await db.owner.query(
    `select oid::regprocedure from pg_proc where pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace) and prosrc like '%pg_advisory%'`,
  );
  expect(rows).toEqual([]);
});

/** A database of the version before turns were rows. */
async function before(): Promise<{ readonly client: pg.Client; readonly pool: pg.Pool; readonly folder: string }> {
  const admin = await connect(required('TEST_POSTGRES_URL'));
  const name = `turns_${randomBytes(6).toString('hex')}`;
  await admin.query(`create database ${name}`);
  onTestFinished(async () => void (await admin.query(`drop database ${name} with (force)`)));
  const url = new URL(required('TEST_POSTGRES_URL'));
  url.pathname = `/${name}`;
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const files = (await readdir(MIGRATIONS)).filter((file) => file < '022');
  for (const file of files) await copyFile(join(MIGRATIONS, file), join(folder, file));
  const client = await connect(url.href);
  await migrate(client, folder);
  const pool = createPool({ url: url.href, applicationName: 'before', max: 8 });
  onTestFinished(() => pool.end());
  return { client, pool, folder };
}

it('comes to a posting of before that still waits for the lock of before, when another is at work: its block goes behind', async () => {
  const { client, pool, folder } = await before();
  await copyFile(join(MIGRATIONS, '022-turns.sql'), join(folder, '022-turns.sql'));
  const [one, other] = await payments(pool, 2);
  const [parked] = await call(pool, 'park', [facts(one!.item, { key: 'suspense:turns' })]);
  const holder = await connect(urlOf(client));
  await holder.query(`select pg_advisory_lock(hashtext('ledger.block'))`);
  // It touches no balance that a credit touches: they share the turn only.
  const waits = pool.query<{ outcome: string }>(
    `select outcome from ledger.release('after:1', $1, $2, $3, 0, 'review:1', 'alice+bob', 'ours')`,
    [parked!.id, one!.item.deposit, one!.item.wallet],
  );
  await until('it to wait', async () => {
    const { rows } = await client.query(`select from pg_locks where locktype = 'advisory' and not granted`);
    return rows.length > 0;
  });
  // A later file builds an index, which waits for a transaction that is open.
  expect(await migrate(client, folder)).toEqual(['022-turns.sql']);
  const working = await connect(urlOf(client));
  await working.query('begin');
  expect(await call(working, 'credit', [facts(other!.item)])).toMatchObject([{ outcome: 'posted' }]);
  await holder.query('select pg_advisory_unlock_all()');
  await until('it to wait for its turn', async () => {
    const { rows } = await client.query(
      `select from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0 and query like '%ledger.release%' and wait_event_type = 'Lock'
          and wait_event <> 'advisory'`,
    );
    return rows.length > 0;
  });
  await working.query('commit');
  expect((await waits).rows).toEqual([{ outcome: 'posted' }]);
  expect(await faultsOf(pool)).toEqual([]);
  expect(await brokenBlocks(pool)).toEqual([]);
});

it('changes under traffic: nothing is refused, every posting is in the chain once', async () => {
  const { client, pool, folder } = await before();
  await copyFile(join(MIGRATIONS, '022-turns.sql'), join(folder, '022-turns.sql'));
  const some = await payments(pool, 240);
  const outcomes: string[] = [];
  const lane = async (from: number) => {
    for (let at = from; at < some.length; at += 12) {
      const answers = await creditAll(
        pool,
        some.slice(at, at + 3).map(({ item }) => item),
      );
      outcomes.push(...answers.map(({ outcome }) => outcome));
    }
  };
  const lanes = Promise.all([lane(0), lane(3), lane(6), lane(9)]);
  await until('some postings', () => Promise.resolve(outcomes.length >= 30));
  await migrate(client, folder, { lockTimeoutMs: 300 });
  const done = outcomes.length;
  await lanes;
  expect(done).toBeLessThan(some.length);
  expect(new Set(outcomes)).toEqual(new Set(['posted']));
  expect(outcomes).toHaveLength(some.length);
  expect(await faultsOf(pool)).toEqual([]);
  expect(await brokenBlocks(pool)).toEqual([]);
});

const urlOf = (client: pg.Client): string => {
  const url = new URL(required('TEST_POSTGRES_URL'));
  url.pathname = `/${client.database}`;
  return url.href;
};
