import { readdirSync, readFileSync } from 'node:fs';
import type pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool, inTransaction } from '../../database/pool.ts';
import { execute, statement } from '../../database/statements.ts';
import { root } from '../../local/servers/paths.ts';
import { createTestDatabase } from '../support/database.ts';
import { startTransactionPooler } from '../support/transaction-pooler.ts';

const db = await createTestDatabase();

/** One connection. */
function pool(url = db.url): pg.Pool {
  const made = createPool({ url, applicationName: 'test', max: 1 });
  onTestFinished(() => made.end());
  return made;
}

const kept = async (of: pg.Pool): Promise<string[]> =>
  (await of.query<{ name: string }>('select name from pg_prepared_statements order by name')).rows.map(
    ({ name }) => name,
  );

const ONE = statement('select $1::int + 1 as n');

describe('a statement that never varies', () => {
  it('is kept by its connection under a name, and by the next one anew', async () => {
    const of = pool();
    await of.query('select');
    const ask = async (n: number) => (await execute<{ n: number }>(of, ONE, [n])).rows[0]!.n;
    expect([await ask(1), await ask(2)]).toEqual([2, 3]);
    expect(await kept(of)).toEqual([ONE.name()]);
    await of.query('select pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
    expect(await ask(3)).toBe(4);
    expect(await kept(of)).toEqual([ONE.name()]);
  });

  it('goes on when a migration changes what it answers, alone and in a transaction', async () => {
    await db.owner.query('create table engine.changing (n int default 1); insert into engine.changing default values');
    const [alone, inside] = [statement('select * from engine.changing'), statement('select * from engine.changing c')];
    const of = pool();
    await of.query('select');
    const ask = async () => [
      (await execute(of, alone)).rows,
      await inTransaction(of, async (client) => (await execute(client, inside)).rows),
    ];
    expect(await ask()).toEqual([[{ n: 1 }], [{ n: 1 }]]);
    for (const column of ['a', 'b']) {
      await db.owner.query(`alter table engine.changing add column ${column} text`);
      const row = { n: 1, a: null, ...(column === 'b' ? { b: null } : {}) };
      expect(await ask()).toEqual([[row], [row]]);
    }
    await ask();
    expect(await kept(of)).toEqual(expect.arrayContaining([alone.name(), inside.name()]));
  });

  it('has no name behind a pooler, which may hand each transaction to another session', async () => {
    await db.owner.query(`alter role app_api set search_path = engine, pg_temp`);
    for (const setting of [`timezone = 'UTC'`, `lock_timeout = '2s'`, `statement_timeout = '5s'`])
      await db.owner.query(`alter role app_api set ${setting}`);
    for (const setting of [`idle_in_transaction_session_timeout = '5s'`, 'log_parameter_max_length_on_error = 0'])
      await db.owner.query(`alter role app_api set ${setting}`);
    onTestFinished(async () => void (await db.owner.query('alter role app_api reset all')));
    const pooler = await startTransactionPooler(db.urlFor('app_api'));
    onTestFinished(() => pooler.close());
    const of = pool(pooler.url);
    const pids = new Set<number>();
    const PID = statement('select pg_backend_pid() as pid');
    for (let round = 0; round < 4; round += 1) {
      await inTransaction(of, async (client) => {
        pids.add((await execute<{ pid: number }>(client, PID)).rows[0]!.pid);
        expect((await execute(client, ONE, [round])).rows).toEqual([{ n: round + 1 }]);
      });
    }
    expect([...pids]).toHaveLength(2);
    expect(await kept(of)).toEqual([]);
  });

  it('is made once, where its file is read: no text that varies gets a name', () => {
    const folders = ['activities', 'api', 'archive', 'audit', 'database', 'intake', 'ledger', 'providers', 'worker'];
    const made = folders.flatMap((folder) =>
      readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .flatMap((file) => readFileSync(`${root}/${folder}/${file}`, 'utf8').split('\n'))
        .filter((line) => /\b(?:statement|oneWhere)\(/.test(line)),
    );
    expect(made.length).toBeGreaterThan(15);
    const once =
      /^(?:const [A-Z_]+ = (?:statement|oneWhere)\(|export function statement\(|const oneWhere = \(where: string\))/;
    expect(made.filter((line) => !once.test(line))).toEqual([]);
  });
});
