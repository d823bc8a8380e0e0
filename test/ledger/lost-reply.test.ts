import net from 'node:net';
import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { createPool } from '../../database/pool.ts';
import { creditAll } from '../../ledger/credit.ts';
import { createTestDatabase } from '../support/database.ts';
import { balanceOf, call, expectCleanBooks, facts, payment, payments, postingsOf } from './payments.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const auditor = db.poolFor('auditor');

/** The worker's database behind a proxy that can lose the response to a statement after its commit. */
async function cuttableLine() {
  const server = new URL(db.urlFor('app_worker'));
  const port = Number(server.port);
  let cutting = false;
  const line = net.createServer((client) => {
    const upstream = net.connect(port, server.hostname);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream);
    upstream.on('data', (answer) => {
      // The server responds to a statement once, after its commit: no byte of that gets through.
      if (cutting) client.resetAndDestroy();
      else client.write(answer);
    });
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
  server.port = `${(line.address() as net.AddressInfo).port}`;
  const pool = createPool({ url: server.href, applicationName: 'test', max: 1 });
  onTestFinished(async () => {
    await pool.end();
    line.close();
  });
  return {
    pool,
    cut: (on: boolean) => {
      cutting = on;
    },
  };
}

it('a credit whose answer was lost after the commit answers duplicate when it is repeated, and moves nothing', async () => {
  const some = await payments(db.owner, 3);
  const items = some.map((one) => one.item);
  const { pool, cut } = await cuttableLine();
  // The connection is open and warm; only the response is lost.
  await pool.query('select 1');
  cut(true);
  await expect(creditAll(pool, items)).rejects.toThrow(/ECONNRESET|terminated/);
  cut(false);
  const stood = await Promise.all(some.map((one) => postingsOf(auditor, one.item.deposit)));
  expect(stood.map((postings) => postings.length)).toEqual([1, 1, 1]);

  const answers = await creditAll(pool, items);
  expect(answers.map((answer) => answer.outcome)).toEqual(['duplicate', 'duplicate', 'duplicate']);
  expect(answers.map((answer) => answer.postingId)).toEqual(stood.map(([posting]) => posting!.id));
  for (const one of some) expect(await balanceOf(auditor, `wallet:${one.order.wallet}`)).toBe('-5000');
  await expectCleanBooks(auditor);
});

it('a credit whose backend was terminated before the commit is posted when it is repeated', async () => {
  const one = await payment(db.owner);
  await creditAll(worker, [(await payment(db.owner)).item]);
  const blocker = new pg.Client(db.url);
  await blocker.connect();
  onTestFinished(() => blocker.end());
  await blocker.query('begin');
  await blocker.query(
    `select from ledger.balance b join ledger.account a on a.id = b.account_id where a.code = 'clearing:mtpay' for update of b`,
  );
  const lost = expect(creditAll(worker, [one.item])).rejects.toMatchObject({ code: '57P01' });
  // It has inserted its posting and now waits for the clearing account.
  const waiting = `select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and usename = 'app_worker' and wait_event_type = 'Lock'`;
  while ((await db.owner.query(waiting)).rowCount === 0) await new Promise((resolve) => void setImmediate(resolve));
  await lost;
  await blocker.query('rollback');
  expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
  expect(await balanceOf(auditor, `wallet:${one.order.wallet}`)).toBe('0');

  expect(await creditAll(worker, [one.item])).toMatchObject([{ outcome: 'posted' }]);
  await expectCleanBooks(auditor);
});

it('a credit that waits too long for a lock fails as "try again", and has posted nothing', async () => {
  const one = await payment(db.owner);
  const impatient = createPool({ url: db.urlFor('app_worker'), applicationName: 'test', max: 1 });
  onTestFinished(() => impatient.end());
  await impatient.query(`set lock_timeout = '100ms'`);
  const blocker = new pg.Client(db.url);
  await blocker.connect();
  onTestFinished(() => blocker.end());
  await blocker.query(`begin; lock table ledger.block`);
  await expect(creditAll(impatient, [one.item])).rejects.toMatchObject({ code: '55P03' });
  await blocker.query('rollback');
  expect(await postingsOf(auditor, one.item.deposit)).toEqual([]);
  expect(await creditAll(impatient, [one.item])).toMatchObject([{ outcome: 'posted' }]);
});

it('a session that does not wait for the disk is overruled while it posts, and only then', async () => {
  const one = await payment(db.owner);
  const client = new pg.Client(db.url);
  await client.connect();
  onTestFinished(() => client.end());
  const setting = async () =>
    (await client.query<{ synchronous_commit: string }>('show synchronous_commit')).rows[0]!.synchronous_commit;
  await client.query('set synchronous_commit = off');
  await client.query('begin');
  expect(await setting()).toBe('off');
  await client.query('select * from ledger.credit($1)', [JSON.stringify([facts(one.item)])]);
  expect(await setting()).toBe('on');
  await client.query('commit');
  expect(await setting()).toBe('off');
});

it('a snapshot that is too old to see a rival fails as "try again", and posts nothing twice', async () => {
  const one = await payment(db.owner);
  const client = new pg.Client(db.url);
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('begin isolation level repeatable read');
  await client.query('select count(*) from engine.deposit');
  await call(db.owner, 'credit', [facts(one.item)]);
  await expect(
    client.query('select * from ledger.credit($1)', [JSON.stringify([facts(one.item)])]),
  ).rejects.toMatchObject({ code: '40001' });
  await client.query('rollback');
  expect(await postingsOf(auditor, one.item.deposit)).toHaveLength(1);
});
