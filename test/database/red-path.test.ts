import pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { createPool, inTransaction } from '../../database/pool.ts';
import { type Stamp, receiveFirst } from '../../database/queries/callbacks.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import { execute, statement } from '../../database/statements.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { paid } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { sealed } from '../support/seals.ts';

/** What one round trip and names cost that was free before. Red as long as it does. */
const db = await createTestDatabase();
function pool(url = db.url): pg.Pool {
  const made = createPool({ url, applicationName: 'test', max: 1 });
  onTestFinished(() => made.end());
  return made;
}
const pidOf = async (of: pg.Pool) => (await of.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

it('a callback whose deposit is locked for too long costs no connection', async () => {
  const api = pool(db.urlFor('app_api'));
  const asked = await reserved(db.owner);
  await sentBefore(db.owner, asked.externalOrderNumber);
  const data = paid(asked);
  const stamp: Stamp = { keyId: 'key', timestampMs: Date.now() };
  const row = {
    externalOrderNumber: asked.externalOrderNumber,
    contentHash: contentHash(data),
    data,
    raw: Buffer.from('{}'),
    receipt: 'first' as const,
    reviewReason: null,
  };
  const before = await pidOf(api);
  await inTransaction(db.owner, async (client) => {
    await client.query('select from engine.deposit where external_order_number = $1 for update', [
      asked.externalOrderNumber,
    ]);
    const look = receiveFirst(api, sealed(row, stamp), stamp, { ageMs: 0, sentByMs: stamp.timestampMs, copies: 1 });
    await expect(look).rejects.toMatchObject({ code: '55P03' });
  });
  expect(await pidOf(api)).toBe(before);
});

it('what is compared gets another type, and the statement goes on', async () => {
  const key = '11111111-1111-1111-1111-111111111111';
  await db.owner.query(`create table engine.typed (k text, n int)`);
  await db.owner.query(`insert into engine.typed values ('${key}', 1)`);
  const TYPED = statement('select n from engine.typed where k = $1');
  const of = pool();
  await of.query('select');
  const ask = async () => (await execute(of, TYPED, [key])).rows;
  expect(await ask()).toEqual([{ n: 1 }]);
  await db.owner.query('alter table engine.typed alter k type uuid using k::uuid');
  expect(await ask()).toEqual([{ n: 1 }]);
});

it('a plan that was made while the table was small does not read all of it when it has grown', async () => {
  const [asked] = await Promise.all(Array.from({ length: 40 }, () => reserved(db.owner)));
  const n = asked!.externalOrderNumber;
  await db.owner.query('vacuum analyze engine.deposit');
  const api = pool(db.urlFor('app_api'));
  await api.query('select');
  for (let i = 0; i < 10; i += 1) await findDeposit(api, n);
  await byHand(
    db.owner,
    `insert into engine.deposit select (jsonb_populate_record(d, jsonb_build_object('external_order_number', 'grown-' || i))).*
       from engine.deposit d, generate_series(1, 3000) i where d.external_order_number = $1`,
    [n],
  );
  const { rows } = await api.query<{ name: string }>('select name from pg_prepared_statements');
  const plan = await api.query<{ 'QUERY PLAN': string }>(`explain execute "${rows[0]!.name}" ('${n}')`);
  expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Seq Scan on deposit');
});
