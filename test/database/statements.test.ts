import { readdirSync, readFileSync } from 'node:fs';
import type pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool, inTransaction } from '../../database/pool.ts';
import { receiveFirsts } from '../../database/queries/callbacks.ts';
import { execute, statement } from '../../database/statements.ts';
import { root } from '../../local/servers/paths.ts';
import { type Message, route, routeFirst, type Routing } from '../../intake/route-callback.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { lineTo } from '../api/parts.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import type { Pooler } from '../support/pooler.ts';
import { seal } from '../support/seals.ts';
import { startTransactionPooler } from '../support/transaction-pooler.ts';
import { until } from '../support/until.ts';

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

  /** Sets on the role the parameters that a pooler drops at startup. */
  async function startPooler(): Promise<Pooler> {
    await db.owner.query(`alter role app_api set search_path = engine, pg_temp`);
    for (const setting of [`timezone = 'UTC'`, `lock_timeout = '2s'`, `statement_timeout = '5s'`])
      await db.owner.query(`alter role app_api set ${setting}`);
    for (const setting of [`idle_in_transaction_session_timeout = '5s'`, 'log_parameter_max_length_on_error = 0'])
      await db.owner.query(`alter role app_api set ${setting}`);
    onTestFinished(async () => void (await db.owner.query('alter role app_api reset all')));
    const pooler = await startTransactionPooler(db.urlFor('app_api'));
    onTestFinished(() => pooler.close());
    return pooler;
  }

  it('has no name behind a pooler, which may hand each transaction to another session', async () => {
    const pooler = await startPooler();
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

  it('goes on when the address leads to a pooler from now on, where others have its name', async () => {
    const pooler = await startPooler();
    const target = { host: '127.0.0.1', port: Number(new URL(db.url).port) };
    const line = await lineTo(target);
    onTestFinished(() => line.cut());
    const through = new URL(db.urlFor('app_api'));
    through.port = String(line.port);
    const pools = [pool(through.href), pool(through.href)];
    for (const of of pools) {
      await of.query('select');
      expect((await execute(of, ONE, [1])).rows).toEqual([{ n: 2 }]);
    }
    await line.cut();
    await until('both to notice', async () => pools.every(({ totalCount }) => totalCount === 0));
    target.port = Number(new URL(pooler.url).port);
    await line.mend();
    for (const of of pools) for (const n of [1, 2]) expect((await execute(of, ONE, [n])).rows).toEqual([{ n: n + 1 }]);
  });

  /** Takes payments of orders of their own. */
  function payments(api: pg.Pool) {
    let last = 1_600_000_000_000;
    return async (by: Way) => {
      const asked = await reserved(db.owner);
      await sentBefore(db.owner, asked.externalOrderNumber);
      const data = paid(asked);
      const message: Message = {
        externalOrderNumber: asked.externalOrderNumber,
        timestampMs: (last += 1),
        keyId: 'key',
        kept: () => Buffer.from('{}'),
        reading: { readable: true, data, contentHash: contentHash(data) },
        aheadMs: 0,
        stampedMs: last,
        receivedMs: Date.now(),
      };
      return (await by(api, message))?.signal?.data;
    };
  }
  type Way = (of: pg.Pool, message: Message) => Promise<Routing | null>;
  const WAYS: Way[] = [
    (of, message) => routeFirst(async (one) => (await receiveFirsts(of, [one]))[0]!, message, seal),
    (of, message) => inTransaction(of, (client) => route(client, message, seal)),
  ];
  const oneColumnMore = (name: string) => db.owner.query(`alter table engine.callback add column ${name} text`);

  it('goes on when functions were compiled for rows of before: the inbox has one column more', async () => {
    const api = createPool({ url: db.urlFor('app_api'), applicationName: 'test', max: 2 });
    onTestFinished(() => api.end());
    const take = payments(api);
    const takeTwiceAtOnce = (by: Way) => Promise.all([take(by), take(by)]);
    for (const [i, way] of WAYS.entries()) {
      for (const by of WAYS) await takeTwiceAtOnce(by);
      await oneColumnMore(`new_${i}`);
      for (let n = 0; n < 3; n += 1)
        expect(await takeTwiceAtOnce(way)).toEqual([expect.any(Object), expect.any(Object)]);
    }
  });

  it('goes on so behind a pooler too, whose sessions outlive the connection that meets them', async () => {
    const pooler = await startPooler();
    const take = payments(pool(pooler.url));
    for (const [i, way] of WAYS.entries()) {
      for (const by of [...WAYS, ...WAYS]) await take(by);
      await oneColumnMore(`newer_${i}`);
      for (let n = 0; n < 3; n += 1) expect(await take(way)).toEqual(expect.any(Object));
    }
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
