import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createTestDatabase, required } from '../support/database.ts';
import { CONTROL_TOKEN, start } from './support.ts';

const role = `sandbox_${randomBytes(4).toString('hex')}`;
// Before the database, so that it runs after the database and all that the role owns in it are gone.
afterAll(async () => {
  const client = new pg.Client({ connectionString: required('TEST_POSTGRES_URL') });
  await client.connect();
  await client.query(`drop role ${role}`);
  await client.end();
});
const db = await createTestDatabase();

test('a login with a schema and nothing else is enough for the sandbox, beside an engine it cannot touch', async () => {
  await db.owner.query(`create role ${role} login password '${new URL(db.url).password}'`);
  await db.owner.query(`create schema sandbox authorization ${role}`);
  const url = new URL(db.url);
  url.username = role;
  const sandbox = await start(url.href);
  const answer = await fetch(`${sandbox.url}/control/log?limit=1`, {
    headers: { authorization: `Bearer ${CONTROL_TOKEN}` },
  });
  expect(answer.status).toBe(200);

  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  const { rows } = await db.owner.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('engine', 'ledger')`,
  );
  expect(rows.length).toBeGreaterThan(12);
  const attempts = [
    ...rows.flatMap(({ name }) => [`select from ${name}`, `delete from ${name}`]),
    `select ledger.credit('[]')`,
    `select engine.payer_name_for_placement('x')`,
    'create schema mine',
    'create table engine.mine ()',
    'set role app_worker',
  ];
  for (const sql of attempts) await expect(client.query(sql), sql).rejects.toMatchObject({ code: '42501' });
  await client.end();
});
