import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../../support/database.ts';

/** No time that the suspect can write may choose the rows that an audit checks. */
const db = await createTestDatabase();

const RUNTIME = ['app_api', 'app_worker', 'app_decisions'];

/** Columns that the audit's SQL compares with a clock; `since` in it is one of the first two. */
const HELD: Readonly<Record<string, string>> = {
  'deposit.created_at': 'the database says it as the row is made',
  'callback.received_at': 'the same',
  'placement_attempt.started_at': 'the same',
  'decision.at': 'the same',
  'transaction.posted_at': 'the same',
  'callback_attempt.timestamp_ms': 'of a sealed message: only what is older than a week may lack its stamp',
};
const NAMES = new Set(['since', ...Object.keys(HELD).map((name) => name.split('.')[1]!)]);

/** Functions of runtime roles with a time as argument, and its use. */
const TOLD: Readonly<Record<string, string>> = {
  adopt_deposit: 'until: windows of an order that is taken over; the audit reads them in no condition',
  append_archive: 'closed: compared with the end of the history itself, of every row that is audited',
  archive_done: 'as_of: compared with the queue, written nowhere',
};

test('the audit holds no time against a clock that a process may write', async () => {
  const folder = new URL('../../../audit/', import.meta.url);
  const held: string[] = [];
  for (const name of (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.ts'))) {
    const text = await readFile(new URL(name, folder), 'utf8');
    const clocks = text.match(/clock_timestamp\(\)|(?<![.\w])now\(\)/g)?.length ?? 0;
    const found = [
      ...text.matchAll(/clock_timestamp\(\) - (?:\w+\.)?(\w+)\)/g),
      ...text.matchAll(/(?:\w+\.)?(\w+) [<>]=? (?:\(extract\(epoch from )?clock_timestamp\(\)/g),
    ].map(([, column]) => column!);
    expect(found, `${name}: each clock is held against a column that can be read off`).toHaveLength(clocks);
    held.push(...found);
  }
  expect(held.filter((column) => !NAMES.has(column))).toEqual([]);
  expect(held.length).toBeGreaterThan(3);
});

test('no process may write one of these times', async () => {
  const { rows } = await db.owner.query<{ name: string }>(
    `select a.attrelid::regclass::text || '.' || a.attname as name from pg_attribute a join pg_class c on c.oid = a.attrelid
      cross join unnest($1::text[]) r(role)
      where c.relkind = 'r' and a.attnum > 0 and c.relname || '.' || a.attname = any ($2) and c.relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
        and (has_column_privilege(r.role, a.attrelid, a.attnum, 'insert') or has_column_privilege(r.role, a.attrelid, a.attnum, 'update'))`,
    [RUNTIME, Object.keys(HELD)],
  );
  expect(rows).toEqual([]);
  const known = await db.owner.query<{ n: number }>(
    `select count(*)::int as n from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relkind = 'r' and c.relname || '.' || a.attname = any ($1) and c.relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace)`,
    [Object.keys(HELD)],
  );
  expect(known.rows[0]!.n).toBe(Object.keys(HELD).length);
});

test('a function that is told a time by a process writes it where nothing is looked for by it', async () => {
  const { rows } = await db.owner.query<{ name: string }>(
    `select distinct p.proname as name from pg_proc p cross join unnest($1::text[]) r(role)
      where p.prosecdef and p.pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
        and has_function_privilege(r.role, p.oid, 'execute') and 'timestamptz'::regtype = any (p.proargtypes::oid[]) order by 1`,
    [RUNTIME],
  );
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(TOLD));
});
