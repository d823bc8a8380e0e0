import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate } from '../../../database/schema/migrate.ts';
import { createPool } from '../../../database/pool.ts';
import { brokenBlocks, call, expectCleanBooks, facts, faultsOf, payment, payments } from '../../ledger/payments.ts';
import { copyOfMigrations, emptyDatabase, FILES } from './migrations.ts';

describe('books from before there were slots', () => {
  /** The files up to this one. */
  const upTo = (name: string) => FILES.slice(0, FILES.findIndex((file) => file.startsWith(name)) + 1);

  /** A database of the ninth migration with postings of every kind, made by its own functions. */
  async function before() {
    const { url, client } = await emptyDatabase();
    await migrate(client, await copyOfMigrations(upTo('009')));
    const pool = createPool({ url, applicationName: 'test', max: 2 });
    onTestFinished(() => pool.end());
    const some = await payments(pool, 6);
    const [plain, reversed, restored, moved, double, target] = some.map(({ item }) => item);
    const credits = await call(
      pool,
      'credit',
      [plain!, reversed!, restored!, moved!, double!].map((item) => facts(item)),
    );
    const of = (n: number) => credits[n]!.id!;
    const ask = async (sql: string, values: readonly unknown[]) =>
      (await pool.query<{ id: string }>(`select id from ledger.${sql}`, [...values])).rows[0]!.id;
    const by = `'review:1', 'alice+bob', 'not ours'`;
    const reverse = (id: string, keep: boolean) =>
      ask(`reverse('reverse:' || $1::bigint, $1::bigint, $2, ${by})`, [id, keep]);
    const release = (id: string, deposit: string, wallet: string) =>
      ask(`release('release:' || $1::bigint, $1::bigint, $2, $3, 0, ${by})`, [id, deposit, wallet]);
    await reverse(of(1), false);
    const back = await reverse(await reverse(of(2), false), false);
    const kept = await reverse(of(3), true);
    const released = await release(kept, target!.deposit, target!.wallet);
    const [parked] = await call(pool, 'park', [facts(double!, { key: 'suspense:2', provider_code: 'SECOND' })]);
    const second = await release(parked!.id!, double!.deposit, double!.wallet);
    const { rows: blocks } = await client.query('select n, hash from ledger.block order by n');
    return {
      client,
      pool,
      plain,
      reversed,
      restored,
      moved,
      double,
      target,
      of,
      back,
      kept,
      released,
      second,
      blocks,
      release,
    };
  }

  it('keep every block hash, get their slots and lineages, and a deposit paid twice stops nothing: it is written down', async () => {
    const old = await before();
    expect(await migrate(old.client)).toEqual(FILES.slice(9));
    expect(await brokenBlocks(old.pool)).toEqual([]);
    expect((await old.client.query('select n, hash from ledger.block order by n')).rows).toEqual(old.blocks);
    expect(old.blocks.length).toBeGreaterThan(8);
    await expectCleanBooks(old.pool);

    const { rows: slots } = await old.client.query<{ deposit: string; id: string }>(
      'select s.deposit, t.id from ledger.slot s join ledger.transaction t on t.key = s.key',
    );
    expect(new Map(slots.map(({ deposit, id }) => [deposit, id]))).toEqual(
      new Map([
        [old.plain!.deposit, old.of(0)],
        [old.restored!.deposit, old.back],
        [old.target!.deposit, old.released],
        [old.double!.deposit, old.second],
      ]),
    );
    const { rows: doubles } = await old.client.query('select deposit, postings from ledger.double_at_migration');
    expect(doubles).toEqual([{ deposit: old.double!.deposit, postings: [old.of(4), old.second] }]);
    const { rows: chains } = await old.client.query('select ledger.root($1) as root, (ledger.tip($2)).id as tip', [
      old.released,
      old.of(3),
    ]);
    expect(chains).toEqual([{ root: old.of(3), tip: old.released }]);
  });

  it('go on: what was credited twice is taken out one by one, and nothing is put beside it unnamed', async () => {
    const old = await before();
    await migrate(old.client);
    const { rows } = await old.client.query<{ outcome: string; id: string }>(
      `select outcome, id from ledger.reverse('after:' || $1::bigint, $1::bigint, false, 'review:2', 'alice+bob', 'twice')`,
      [old.second],
    );
    expect(rows[0]!.outcome).toBe('posted');
    const slot = await old.client.query(
      'select t.id from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = $1',
      [old.double!.deposit],
    );
    expect(slot.rows).toEqual([{ id: old.of(4) }]);
    const late = await call(old.pool, 'credit', [facts(old.reversed!), facts(old.target!)]);
    expect(late).toMatchObject([
      { outcome: 'duplicate', id: old.of(1) },
      { outcome: 'conflict', id: old.released },
    ]);
    expect(await faultsOf(old.pool)).toEqual([]);
    expect(await brokenBlocks(old.pool)).toEqual([]);
  });

  it('of which two payments of one deposit were released by people alone are told as well', async () => {
    const { url, client } = await emptyDatabase();
    await migrate(client, await copyOfMigrations(upTo('009')));
    const pool = createPool({ url, applicationName: 'test', max: 2 });
    onTestFinished(() => pool.end());
    const { item } = await payment(pool);
    const ids: string[] = [];
    for (const code of ['FIRST', 'SECOND', 'THIRD']) {
      const [parked] = await call(pool, 'park', [facts(item, { key: `suspense:${code}`, provider_code: code })]);
      const { rows } = await pool.query<{ id: string }>(
        `select id from ledger.release('release:' || $1::bigint, $1::bigint, $2, $3, 0, 'review:1', 'alice+bob', 'wanted')`,
        [parked!.id, item.deposit, item.wallet],
      );
      ids.push(rows[0]!.id);
    }
    expect(await migrate(client)).toEqual(FILES.slice(9));
    const { rows } = await client.query('select deposit, postings from ledger.double_at_migration');
    expect(rows).toEqual([{ deposit: item.deposit, postings: ids }]);
    await expectCleanBooks(pool);
  });
});
