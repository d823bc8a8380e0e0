import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool, inTransaction, isDatabaseAway, type PoolOptions } from '../../database/pool.ts';
import { createTestDatabase } from '../support/database.ts';

const db = await createTestDatabase();

function pool(change: Partial<PoolOptions> = {}): pg.Pool {
  const made = createPool({ url: db.url, applicationName: 'test', max: 2, ...change });
  onTestFinished(() => made.end());
  return made;
}
const show = async (of: pg.Pool | pg.PoolClient, what: string) =>
  (await of.query<{ value: string }>(`select (${what})::text as value`)).rows[0]!.value;

describe('a pool of an address that belongs to more than one role', () => {
  it('works as its role on every connection, and with no right beyond it', async () => {
    const api = pool({ role: 'app_api' });
    const who = () => Promise.all([show(api, 'current_user'), show(api, 'current_user')]);
    expect(await who()).toEqual(['app_api', 'app_api']);
    await expect(api.query('select payer_name from engine.deposit')).rejects.toMatchObject({ code: '42501' });
    await expect(api.query('update engine.deposit set mtc_amount = 1')).rejects.toMatchObject({ code: '42501' });
    await expect(api.query('create table engine.mine ()')).rejects.toMatchObject({ code: '42501' });
    await api.query('select external_order_number from engine.deposit');
  });

  it('is still its role after a transaction that failed, and after a reset', async () => {
    const api = pool({ role: 'app_api', max: 1 });
    await expect(inTransaction(api, (client) => client.query('select 1 / 0'))).rejects.toMatchObject({ code: '22012' });
    await api.query('reset role');
    expect(await show(api, 'current_user')).toBe('app_api');
  });
});

describe('a connection', () => {
  it('speaks UTC, finds the engine’s tables and lets nobody put others in front of them', async () => {
    const one = pool();
    expect(await show(one, `current_setting('TimeZone')`)).toBe('UTC');
    expect(await show(one, `current_setting('search_path')`)).toBe('engine,pg_temp');
    expect(await show(one, `current_setting('application_name')`)).toBe('test');
    expect(await show(one, `'deposit'::regclass::oid = 'engine.deposit'::regclass::oid`)).toBe('true');
  });

  it('gives up in time, each wait inside the next larger one', async () => {
    const one = pool();
    const seconds = async (name: string) =>
      Number(await show(one, `extract(epoch from current_setting('${name}')::interval)`));
    expect(await seconds('lock_timeout')).toBe(2);
    expect(await seconds('statement_timeout')).toBe(5);
    expect(await seconds('idle_in_transaction_session_timeout')).toBe(5);
  });

  it('answers numbers that are too exact for a float as text', async () => {
    const { rows } = await pool().query(
      `select 0.1::numeric + 0.2::numeric as sum, 9007199254740993::bigint as large, 200.00::numeric as scaled, count(*) as n from (values (1)) v`,
    );
    expect(rows).toEqual([{ sum: '0.3', large: '9007199254740993', scaled: '200.00', n: '1' }]);
  });
});

describe('a transaction', () => {
  const rows = async (of: pg.Pool) =>
    (await of.query(`select name from engine.api_key where name like 'tx-%'`)).rowCount;
  const insert = (client: pg.PoolClient, name: string) =>
    client.query(`insert into engine.api_key (name, hash, scopes) values ($1, convert_to($1, 'UTF8'), '{}')`, [name]);

  it('is committed with its answer', async () => {
    const one = pool();
    expect(await inTransaction(one, async (client) => (await insert(client, 'tx-1')).rowCount)).toBe(1);
    expect(await rows(one)).toBe(1);
  });

  it('is rolled back when its work throws, and the connection is good again', async () => {
    const one = pool({ max: 1 });
    const failed = new Error('on purpose');
    const work = inTransaction(one, async (client) => {
      await insert(client, 'tx-2');
      throw failed;
    });
    await expect(work).rejects.toBe(failed);
    expect(await rows(one)).toBe(1);
    expect(await show(one, 'pg_current_xact_id_if_assigned() is null')).toBe('true');
  });

  it('on a connection that dies is nothing, and the next one gets another connection', async () => {
    const one = pool({ max: 1 });
    const before = await show(one, 'pg_backend_pid()');
    const work = inTransaction(one, async (client) => {
      await insert(client, 'tx-3');
      client.on('error', () => undefined);
      await db.owner.query('select pg_terminate_backend($1)', [before]);
      await client.query('select 1');
    });
    await expect(work).rejects.toThrow();
    expect(await show(one, 'pg_backend_pid()')).not.toBe(before);
    expect(await rows(one)).toBe(1);
  });
});

describe('a connection that cannot even roll back', () => {
  it('is thrown away with its open transaction', async () => {
    const one = pool({ max: 1 });
    const before = await show(one, 'pg_backend_pid()');
    const failed = new Error('on purpose');
    const work = inTransaction(one, async (client) => {
      await client.query('lock table engine.api_key');
      Object.assign(client, { query: () => Promise.reject(new Error('no answer')) });
      throw failed;
    });
    await expect(work).rejects.toBe(failed);
    expect(await show(one, 'pg_backend_pid()')).not.toBe(before);
  });
});

describe('an idle connection that dies', () => {
  it('is told of and replaced', async () => {
    let told: (error: Error) => void;
    const heard = new Promise<Error>((resolve) => (told = resolve));
    const one = pool({ max: 1, onIdleError: (error) => told(error) });
    await db.owner.query('select pg_terminate_backend($1)', [await show(one, 'pg_backend_pid()')]);
    expect(await heard).toMatchObject({ code: '57P01' });
    expect(await show(one, '1')).toBe('1');
  });
});

describe('a database that is away', () => {
  it.each([
    '08000',
    '08006',
    '53300',
    '53100',
    '55P03',
    '57P01',
    '57P03',
    '57014',
    '40001',
    '40P01',
    '25P03',
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ENOTFOUND',
    'ETIMEDOUT',
    'EAI_AGAIN',
  ])('is told by %s: come again', (code) => {
    expect(isDatabaseAway(Object.assign(new Error('no'), { code }))).toBe(true);
  });

  it.each([
    '23505',
    '23514',
    '22003',
    '42501',
    '42P01',
    '28000',
    '3D000',
    'P0L01',
    'P0E01',
    'XX000',
    'ERR_INVALID_ARG_TYPE',
  ])('is not told by %s: something is wrong with what was asked', (code) => {
    expect(isDatabaseAway(Object.assign(new Error('no'), { code }))).toBe(false);
  });

  it('is told by what the driver itself says of a lost or late connection', async () => {
    const nowhere = createPool({ url: 'postgres://nobody@localhost:1/none', applicationName: 'test' });
    onTestFinished(() => nowhere.end());
    expect(isDatabaseAway(await nowhere.query('select 1').catch((error: unknown) => error))).toBe(true);

    const busy = new pg.Pool({ connectionString: db.url, max: 1, connectionTimeoutMillis: 50 });
    const client = await busy.connect();
    expect(isDatabaseAway(await busy.query('select 1').catch((error: unknown) => error))).toBe(true);
    client.release();
    await busy.end();
    expect(isDatabaseAway(await busy.query('select 1').catch((error: unknown) => error))).toBe(true);

    const slow = new pg.Pool({ connectionString: db.url, max: 1, query_timeout: 50 });
    expect(isDatabaseAway(await slow.query('select pg_sleep(0.2)').catch((error: unknown) => error))).toBe(true);
    await slow.end();
  });

  it('is not told by a defect of ours', () => {
    expect(isDatabaseAway(new TypeError('x is not a function'))).toBe(false);
    expect(isDatabaseAway('oops')).toBe(false);
    expect(isDatabaseAway({})).toBe(false);
  });
});
