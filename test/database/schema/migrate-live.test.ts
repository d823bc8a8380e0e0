import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { insertCallback } from '../../../database/queries/callbacks.ts';
import { reserve, viewDeposit } from '../../../database/queries/deposits.ts';
import { migrate, MIGRATIONS } from '../../../database/schema/migrate.ts';
import { locksOf, readSteps } from '../../../database/schema/migration-steps.ts';
import { orderNumber } from '../../support/builders.ts';
import { createTestDatabase } from '../../support/database.ts';
import { sealed } from '../../support/seals.ts';
import { until } from '../../support/until.ts';

/** Migrations beside a running engine: none of them blocks readers, creates or callbacks. */
const db = await createTestDatabase();
const api = db.poolFor('app_api');
const FILES = (await readdir(MIGRATIONS)).toSorted();

async function connect(name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: db.url, application_name: name });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/** An audit: it has read a table and stays in its transaction for hours. */
async function longReader() {
  const client = await connect('deposit-audit');
  await client.query('begin isolation level repeatable read read only');
  await client.query('select count(*) from engine.deposit, engine.callback');
  return { end: () => client.query('rollback') };
}

/** The existing migrations and one more. */
async function withOneMore(sql: string): Promise<{ readonly folder: string; readonly name: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const file of FILES) await copyFile(join(MIGRATIONS, file), join(folder, file));
  const name = `${`${FILES.length + 1}`.padStart(3, '0')}-more.sql`;
  await writeFile(join(folder, name), sql);
  onTestFinished(() => void db.owner.query('delete from engine.schema_migration where name = $1', [name]));
  return { folder, name };
}

const reservation = (externalOrderNumber: string) => ({
  externalOrderNumber,
  wallet: 'wallet-1',
  buyCoinMode: 'MtcAmount' as const,
  mtcAmount: '5000',
  totalPrice: null,
  currencyCode: 'CNY' as const,
  supportLanguage: 'en' as const,
  payerName: Buffer.from('x'),
  payerNameKey: 'k',
  fingerprint: Buffer.alloc(32),
  settings: { paymentWindowMs: 1, listeningWindowMs: 1 } as never,
});

/** Creates, callbacks and reads over and over, by the API's role and its limits; how long the slowest took. */
const STAMP = { keyId: 'key', timestampMs: 1 };
function traffic() {
  const stop = new AbortController();
  let slowestMs = 0;
  let done = 0;
  const failures: unknown[] = [];
  const timed = async (work: () => Promise<unknown>) => {
    const startedMs = performance.now();
    await work().catch((error: unknown) => failures.push(error));
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    done += 1;
  };
  const one = async () => {
    while (!stop.signal.aborted) {
      const n = orderNumber();
      await timed(() => reserve(api, reservation(n)));
      await timed(() =>
        insertCallback(
          api as never,
          sealed(
            {
              externalOrderNumber: n,
              contentHash: Buffer.alloc(32),
              data: null,
              raw: Buffer.from('{}'),
              receipt: 'unreadable',
              reviewReason: 'UNREADABLE',
            },
            STAMP,
          ),
          STAMP,
        ),
      );
      await timed(() => viewDeposit(api, n));
    }
  };
  const running = Promise.all([one(), one()]);
  return {
    done: () => done,
    async stop() {
      stop.abort();
      await running;
      return { slowestMs, failures };
    },
  };
}

describe('behind a long reader and under traffic', () => {
  it('a file that needs a table for itself is tried in short turns, and stops nobody', async () => {
    const { folder, name } = await withOneMore('alter table engine.deposit add column more text;');
    const reader = await longReader();
    const client = await connect('deposit-migrate');
    const told: string[] = [];
    const load = traffic();
    await until('traffic', () => Promise.resolve(load.done() > 20));
    const options = { lockTimeoutMs: 300, watcher: await connect('watcher'), tell: (line: string) => told.push(line) };
    const migrated = migrate(client, folder, options);
    await until('three tries', () => Promise.resolve(told.length >= 3));
    await reader.end();
    expect(await migrated).toEqual([name]);
    const { slowestMs, failures } = await load.stop();
    // Without a limit of its own the file would block all others until the reader ends: their own limit is 2 s.
    expect(failures).toEqual([]);
    expect(slowestMs).toBeLessThan(2_000);
    expect(told[0]).toMatch(
      /^\d+-more\.sql: .*lock timeout; in the way: pid \d+, deposit-audit, .*trying again in 0.25 s$/,
    );
    await db.owner.query('alter table engine.deposit drop column more');
  });

  it('a file that needs a table more strongly later waits for nobody who waits for it', async () => {
    const { folder, name } = await withOneMore(`
      create trigger more before insert on engine.deposit for each row execute function engine.forbid();
      alter table engine.deposit disable trigger more, add column more text;`);
    const n = orderNumber();
    await reserve(api, reservation(n));
    const receives = await connect('receives');
    await receives.query('begin');
    await receives.query('select from engine.arriving($1, null, null, null)', [n]);
    const client = await connect('deposit-migrate');
    const told: string[] = [];
    const migrated = migrate(client, folder, { tell: (line) => told.push(line) });
    await until('the file to wait', async () => {
      const { rowCount } = await db.owner.query(
        `select from pg_locks where relation = 'engine.deposit'::regclass and mode = 'AccessExclusiveLock' and not granted`,
      );
      return rowCount! > 0;
    });
    await receives.query('update engine.deposit set late = late where external_order_number = $1', [n]);
    await receives.query('commit');
    expect(await migrated).toEqual([name]);
    expect(told).toEqual([]);
    await db.owner.query('drop trigger more on engine.deposit; alter table engine.deposit drop column more');
  });

  it('a file whose time is over says who is in the way, and nothing of it is done', async () => {
    const { folder } = await withOneMore('alter table engine.deposit add column more text;');
    const reader = await longReader();
    const client = await connect('deposit-migrate');
    const options = { lockTimeoutMs: 300, patienceMs: 1_000, watcher: await connect('watcher') };
    await expect(migrate(client, folder, options)).rejects.toThrow(
      /in the way: pid \d+, deposit-audit, .*tried \d times .*run it again later/,
    );
    await reader.end();
    const { rowCount } = await db.owner.query(
      `select from information_schema.columns where table_name = 'deposit' and column_name = 'more'`,
    );
    expect(rowCount).toBe(0);
  });

  it('an index of that name that is another is built again, and one that is the same is not', async () => {
    const { folder } = await withOneMore(`
create index concurrently if not exists deposit_same on engine.deposit (wallet, lower(state)) where state <> 'PLACING';
create index concurrently if not exists deposit_other on engine.deposit (wallet, state);
create index concurrently if not exists deposit_elsewhere on engine.deposit (wallet);
-- In one transaction:
create table engine.others ();
`);
    await db.owner.query(`
      create index deposit_same on engine.deposit (wallet, lower(state)) where state <> 'PLACING';
      create unique index deposit_other on engine.deposit (wallet, state) where false;
      create index deposit_elsewhere on engine.callback (deposit)`);
    const oids = async () =>
      (
        await db.owner.query(
          `select 'engine.deposit_same'::regclass::oid as same, 'engine.deposit_other'::regclass::oid as other`,
        )
      ).rows[0];
    const before = await oids();
    const told: string[] = [];
    await migrate(await connect('deposit-migrate'), folder, { tell: (line) => told.push(line) });
    expect(told).toEqual([
      'index engine.deposit_other is another than the file says; it is built again',
      'index engine.deposit_elsewhere is another than the file says; it is built again',
    ]);
    const after = await oids();
    expect({ same: after.same === before.same, other: after.other === before.other }).toEqual({
      same: true,
      other: false,
    });
    const { rows } = await db.owner.query(`select pg_get_indexdef('engine.deposit_other'::regclass) as sql`);
    expect(rows[0].sql).toBe('CREATE INDEX deposit_other ON engine.deposit USING btree (wallet, state)');
  });

  it('an index is built beside the traffic; a run that was killed meanwhile is continued', async () => {
    const { folder, name } = await withOneMore(`
-- Looked up by whoever asks for more.
create index concurrently if not exists deposit_more
  on engine.deposit (wallet, state);
-- In one transaction:
create table engine.more ();
`);
    const valid = async () =>
      (
        await db.owner.query(
          `select indisvalid as valid from pg_index where indexrelid = to_regclass('engine.deposit_more')`,
        )
      ).rows;
    const reader = await longReader();
    const killed = await connect('deposit-migrate');
    const load = traffic();
    const migrated = migrate(killed, folder, {}).catch((error: Error) => error);
    await until('the index to wait for the reader', async () => (await valid()).length > 0);
    await db.owner.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'deposit-migrate'`,
    );
    expect(await migrated).toBeInstanceOf(Error);
    expect(await valid()).toEqual([{ valid: false }]);
    // Again, and the reader still reads: the half-built index cannot even be dropped.
    const told: string[] = [];
    const again = await connect('deposit-migrate');
    const migratedAgain = migrate(again, folder, { tell: (line) => told.push(line) });
    await until('it to find what was left', () => Promise.resolve(told.length > 0));
    await until('it to wait for the reader', async () => {
      const waiting = `select from pg_stat_activity where application_name = 'deposit-migrate' and wait_event_type = 'Lock'`;
      return (await db.owner.query(waiting)).rowCount === 1;
    });
    await reader.end();
    expect(await migratedAgain).toEqual([name]);
    expect(told).toEqual(['index engine.deposit_more was left half built; it is built again']);
    expect(await valid()).toEqual([{ valid: true }]);
    const { slowestMs, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(slowestMs).toBeLessThan(2_000);
    await db.owner.query('drop index engine.deposit_more; drop table engine.more');
  });

  it('indexes of several tables are dropped beside the traffic', async () => {
    const { folder, name } = await withOneMore(`
drop index concurrently if exists engine.callback_more;
-- Nobody looks it up.
drop index concurrently if exists engine.deposit_more;
`);
    await db.owner.query(`create index callback_more on engine.callback (raised_at);
      create index deposit_more on engine.deposit (wallet, state)`);
    const reader = await longReader();
    const load = traffic();
    await until('traffic', () => Promise.resolve(load.done() > 20));
    const told: string[] = [];
    const migrated = migrate(await connect('deposit-migrate'), folder, { tell: (line) => told.push(line) });
    await until('it to wait for the reader', async () => {
      const waiting = `select from pg_stat_activity where application_name = 'deposit-migrate' and wait_event_type = 'Lock'`;
      return (await db.owner.query(waiting)).rowCount === 1;
    });
    const before = load.done();
    await until('traffic beside it', () => Promise.resolve(load.done() > before + 20));
    await reader.end();
    expect(await migrated).toEqual([name]);
    const { failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(told).toEqual([]);
    const { rows } = await db.owner.query(
      `select to_regclass('engine.callback_more') as callback, to_regclass('engine.deposit_more') as deposit`,
    );
    expect(rows).toEqual([{ callback: null, deposit: null }]);
  });

  it('another runner is waited for without holding the first one’s index up', async () => {
    const { folder, name } = await withOneMore(
      'create index concurrently if not exists deposit_more on engine.deposit (wallet, state);',
    );
    const reader = await longReader();
    const runners = [await connect('deposit-migrate'), await connect('deposit-migrate')];
    const told: string[] = [];
    const migrated = Promise.all(runners.map((client) => migrate(client, folder, { tell: (line) => told.push(line) })));
    await until('the second to wait', () => Promise.resolve(told.some((line) => line.includes('is running, pid'))));
    await reader.end();
    expect((await migrated).toSorted((a, b) => b.length - a.length)).toEqual([[name], []]);
    await db.owner.query('drop index engine.deposit_more');
  });
});

describe('the steps of a file', () => {
  it('are indexes first, then one transaction', () => {
    const indexes = [
      { does: 'build', name: 'engine.a', sql: 'create index concurrently if not exists a on engine.t (x)' },
      {
        does: 'build',
        name: 'ledger.b',
        sql: 'create unique index concurrently if not exists b on ledger.t (y) where y is not null',
      },
    ];
    const both = `-- why\ncreate index concurrently if not exists a on engine.t (x);\ncreate unique index b\n  on ledger.t (y) where y is not null;\n`;
    expect(readSteps(both)).toEqual({ indexes, sql: '' });
    expect(readSteps(`${both}-- In one transaction:\nselect 1;\n`)).toEqual({
      indexes,
      sql: '-- In one transaction:\nselect 1;\n',
    });
    expect(readSteps('create table engine.t ();\ncreate index a on engine.t (x);')).toMatchObject({ indexes: [] });
    expect(readSteps('create table engine.t ();\n-- In one transaction:\nselect 1;')).toBeNull();
  });

  it('hold every index that a file drops: in a transaction it would lock its table for itself', async () => {
    const drop = { does: 'drop', name: 'engine.a', sql: 'drop index concurrently if exists engine.a' };
    expect(readSteps('drop index concurrently if exists engine.a;\n')).toEqual({ indexes: [drop], sql: '' });
    expect(readSteps('drop index engine.a;\n-- In one transaction:\nselect 1;')).toBeNull();
    const files = FILES.filter((file) => file > '032');
    const texts = await Promise.all(files.map((file) => readFile(join(MIGRATIONS, file), 'utf8')));
    expect(files.filter((_file, i) => /\bdrop index\b/.test(readSteps(texts[i]!)!.sql))).toEqual([]);
  });

  it('of 009, which was written before, are its indexes: on a large database they are built beside the traffic', async () => {
    const steps = readSteps(await readFile(join(MIGRATIONS, '009-lookups.sql'), 'utf8'));
    expect(steps?.indexes.map(({ name }) => name)).toEqual([
      'engine.callback_stamp_by_order',
      'ledger.transaction_by_workflow',
    ]);
    expect(steps?.sql).toBe('');
  });
});

it('tables of the ledger are locked beforehand as well, and whatever is written before a name', () => {
  const sql = `alter table only deposit add column more text; alter table ledger.transaction add column more text;
    create trigger more before insert on ledger.account for each row execute function more();`;
  expect(locksOf(sql)).toEqual([
    { table: 'engine.deposit', mode: 'access exclusive' },
    { table: 'ledger.transaction', mode: 'access exclusive' },
    { table: 'ledger.account', mode: 'share row exclusive' },
  ]);
});
