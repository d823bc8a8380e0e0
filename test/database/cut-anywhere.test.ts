import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool, inTransaction, NotCommitted } from '../../database/pool.ts';
import { execute, statement } from '../../database/statements.ts';
import { createTestDatabase } from '../support/database.ts';

/** A connection that is cut after any byte: nothing is done twice, and what resolved is done. */

const db = await createTestDatabase();
await db.owner.query('create table engine.effect (id int, said text default $$now$$)');

type Side = 'asked' | 'answered';

/** A line that counts its bytes, and is cut after so many more of one side. */
async function lineThatCuts() {
  const port = Number(new URL(db.url).port);
  const bytes = { asked: 0, answered: 0 };
  let cut: { readonly side: Side; left: number } | null = null;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    const end = () => [near, far].forEach((socket) => socket.destroy());
    const pass = (side: Side, from: Socket, to: Socket) => {
      from.on('error', () => undefined).on('close', end);
      from.on('data', (data: Buffer) => {
        bytes[side] += data.length;
        if (cut?.side !== side || data.length < cut.left) {
          if (cut?.side === side) cut.left -= data.length;
          return void to.write(data);
        }
        const rest = data.subarray(0, cut.left);
        cut = null;
        from.pause();
        to.write(rest, end);
      });
    };
    pass('asked', near, far);
    pass('answered', far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const url = new URL(db.url);
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.href, bytes, cutAfter: (side: Side, left: number) => void (cut = { side, left }) };
}

const INSERT = statement('insert into engine.effect (id) values ($1) returning *');
const WAYS: Readonly<Record<string, (pool: pg.Pool, id: number) => Promise<unknown>>> = {
  'a statement under its name': (pool, id) => execute(pool, INSERT, [id]),
  'a statement alone': (pool, id) => pool.query('insert into engine.effect (id) values ($1)', [id]),
  'a transaction': (pool, id) =>
    inTransaction(pool, async (client) => {
      await execute(client, INSERT, [id]);
      await client.query('select 1');
    }),
};
/** Cuts of each side of a way; every byte is a matter of minutes. */
const CUTS = 12;

let last = 0;
const effects = async (id: number) =>
  (await db.owner.query('select from engine.effect where id = $1', [id])).rowCount ?? 0;

describe.each(Object.entries(WAYS))('%s', (_, way) => {
  const all = async (before: () => Promise<unknown>) => {
    const line = await lineThatCuts();
    const pool = createPool({ url: line.url, applicationName: 'test', max: 2 });
    onTestFinished(() => pool.end());
    const once = async () => {
      await before();
      const id = (last += 1);
      return {
        id,
        isDone: await way(pool, id).then(
          () => true,
          () => false,
        ),
      };
    };
    for (let n = 0; n < 3; n += 1) expect((await once()).isDone).toBe(true);
    let [cuts, done] = [0, 0];
    for (const side of ['asked', 'answered'] as const) {
      const start = line.bytes[side];
      await once();
      const total = line.bytes[side] - start;
      for (let left = 1; left <= total; left += Math.ceil(total / CUTS)) {
        line.cutAfter(side, left);
        const { id, isDone } = await once();
        const found = await effects(id);
        expect(found, `${side} ${left}`).toBeLessThanOrEqual(1);
        if (isDone) expect(found, `${side} ${left}`).toBe(1);
        cuts += 1;
        if (isDone) done += 1;
        line.cutAfter(side, Number.MAX_SAFE_INTEGER);
        // The next user of the pool finds a session like every other.
        await pool.query('select').catch(() => undefined);
        const { rows } = await pool.query<{ now: string }>(
          `select concat_ws(' ', current_user = session_user, current_setting('search_path'), pg_current_xact_id_if_assigned()) as now`,
        );
        expect(rows).toEqual([{ now: 't engine,pg_temp' }]);
        const after = await once();
        expect([after.isDone, await effects(after.id)]).toEqual([true, 1]);
      }
    }
    expect(cuts).toBeGreaterThan(5);
    expect(done).toBeLessThan(cuts);
  };

  it('is done once or not at all, wherever its connection is cut', () => all(async () => undefined));

  it('likewise where its plan is stale, so that it is tried again', async () => {
    let n = 0;
    await all(async () =>
      db.owner.query(`alter table engine.effect alter said type ${(n += 1) % 2 === 0 ? 'text' : 'varchar'}`),
    );
  });
});

describe('a transaction', () => {
  const pool = () => {
    const made = createPool({ url: db.url, applicationName: 'test', max: 1 });
    onTestFinished(() => made.end());
    return made;
  };

  it('whose work keeps an error of the database for itself is not called committed', async () => {
    const of = pool();
    const id = (last += 1);
    const swallowed = inTransaction(of, async (client) => {
      await execute(client, INSERT, [id]);
      await client.query('select 1 / 0').catch(() => undefined);
    });
    await expect(swallowed).rejects.toBeInstanceOf(NotCommitted);
    expect(await effects(id)).toBe(0);
    expect((await of.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('that is refused by its commit for a stale plan is rolled back, and tried again', async () => {
    await db.owner.query(
      `create function engine.too_late() returns trigger language plpgsql as $$ begin
         if (select count(*) from engine.effect where said = 'late') = 1 and currval('engine.tries') = 1 then
           raise exception 'stale' using errcode = '42804'; end if;
         return null; end $$;
       create sequence engine.tries;
       create constraint trigger too_late after insert on engine.effect initially deferred for each row
         when (new.said = 'late') execute function engine.too_late()`,
    );
    const id = (last += 1);
    await inTransaction(pool(), async (client) => {
      await client.query(`select nextval('engine.tries')`);
      await client.query(`insert into engine.effect values ($1, 'late')`, [id]);
    });
    expect(await effects(id)).toBe(1);
    expect((await db.owner.query(`select last_value::int as n from engine.tries`)).rows).toEqual([{ n: 2 }]);
  });
});
