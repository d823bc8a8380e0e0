import pg from 'pg';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  assertWritable,
  createPool,
  inTransaction,
  isDatabaseAway,
  isServerFull,
  openConnection,
  type PoolOptions,
  refuseWrongSession,
  WrongSession,
} from '../../database/pool.ts';
import { openPool } from '../../sandbox/database.ts';
import { createTestDatabase } from '../support/database.ts';
import { startPooler } from '../support/pooler.ts';

const db = await createTestDatabase();

function pool(change: Partial<PoolOptions> = {}): pg.Pool {
  const made = createPool({ url: db.url, applicationName: 'test', max: 2, ...change });
  onTestFinished(() => made.end());
  return made;
}
function ended(made: pg.Pool): pg.Pool {
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

describe('a session that is not what was asked for', () => {
  const pooled = async (ignores: readonly string[], url = db.url) => {
    const pooler = await startPooler(url, ignores);
    onTestFinished(() => pooler.close());
    return pooler.url;
  };

  it('keeps its role and its search path whatever the address asks for in options, and that too', async () => {
    for (const options of ['-c geqo=off', '-c search_path=public -c role=none -c geqo=off']) {
      const url = new URL(db.url);
      url.searchParams.set('options', options);
      const api = pool({ url: url.href, role: 'app_api' });
      expect(await show(api, 'current_user')).toBe('app_api');
      expect(await show(api, `current_setting('search_path')`)).toBe('engine,pg_temp');
      expect(await show(api, `current_setting('geqo')`)).toBe('off');
      expect(await show(api, `current_setting('jit')`)).toBe('off');
    }
  });

  it.each([
    ['options', /current_user is postgres instead of app_api/],
    ['options', /search_path is .* instead of engine,pg_temp/],
    ['lock_timeout', /lock_timeout is 0 instead of 2s/],
    ['statement_timeout', /statement_timeout is 0 instead of 5s/],
  ])('behind a pooler that ignores %s is refused, and nothing is done in it', async (ignored, said) => {
    const api = pool({ url: await pooled([ignored]), role: 'app_api' });
    const refusal = await api.query('create table engine.mine ()').catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(WrongSession);
    expect((refusal as Error).message).toMatch(said);
    expect((refusal as Error).message).not.toContain(db.url);
    await expect(refuseWrongSession(api)).rejects.toBeInstanceOf(WrongSession);
    await expect(inTransaction(api, (client) => client.query('select 1'))).rejects.toBeInstanceOf(WrongSession);
    // Nothing was accepted: the caller may retry.
    expect(isDatabaseAway(refusal)).toBe(true);
  });

  it('that one connection has is refused as well', async () => {
    const url = await pooled(['options']);
    await expect(openConnection({ url, role: 'auditor', applicationName: 'test' })).rejects.toBeInstanceOf(
      WrongSession,
    );
  });

  it('is taken behind such a pooler where the server gives the login the same settings', async () => {
    const settings = {
      search_path: 'engine, pg_temp',
      timezone: `'UTC'`,
      lock_timeout: `'2s'`,
      statement_timeout: `'5s'`,
      idle_in_transaction_session_timeout: `'5s'`,
    };
    for (const [name, value] of Object.entries(settings))
      await db.owner.query(`alter role app_api set ${name} = ${value}`);
    onTestFinished(async () => void (await db.owner.query('alter role app_api reset all')));
    const ignored = ['options', 'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'];
    const api = pool({ url: await pooled(ignored, db.urlFor('app_api')), role: 'app_api' });
    await refuseWrongSession(api);
    expect(await show(api, 'current_user')).toBe('app_api');
  });

  it('waits for the disk, whatever the database has for a default, and is refused where it would not', async () => {
    const name = new URL(db.url).pathname.slice(1);
    await db.owner.query(`alter database ${name} set synchronous_commit = off`);
    onTestFinished(async () => void (await db.owner.query(`alter database ${name} reset all`)));
    expect(await show(pool({ role: 'app_api' }), `current_setting('synchronous_commit')`)).toBe('on');
    const ignored = pool({ url: await pooled(['options'], db.urlFor('app_api')), role: 'app_api' });
    await expect(ignored.query('select')).rejects.toThrow('synchronous_commit is off instead of on');
  });

  it('is no reason not to start while the database is away', async () => {
    await refuseWrongSession(pool({ url: 'postgres://nobody@localhost:1/none' }));
  });
});

describe('a server that takes no changes', () => {
  const readOnly = async (is: boolean) => {
    const name = new URL(db.url).pathname.slice(1);
    await db.owner.query(`alter database ${name} set default_transaction_read_only = ${is ? 'on' : 'off'}`);
  };

  it('is away, its connections are thrown away, and the next one finds out whether it takes them again', async () => {
    const api = pool({ role: 'app_api', max: 1 });
    await assertWritable(api);
    const before = await show(api, 'pg_backend_pid()');
    const work = inTransaction(api, async (client) => {
      await client.query('set transaction read only');
      await client.query('update engine.callback set attempts = attempts where false');
    });
    const refusal = await work.catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: '25006' });
    expect(isDatabaseAway(refusal)).toBe(true);
    expect(await show(api, 'pg_backend_pid()')).not.toBe(before);
  });

  it('is away for a new connection too, before anything is asked of it, but not for the auditor', async () => {
    const owner = await openConnection({ url: db.url, applicationName: 'test' });
    onTestFinished(() => owner.end());
    await readOnly(true);
    try {
      const refusal = await pool({ role: 'app_api' })
        .query('select 1')
        .catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: '25006' });
      await expect(assertWritable(pool({ role: 'app_api' }))).rejects.toMatchObject({ code: '25006' });
      expect(await show(pool({ role: 'auditor' }), '1')).toBe('1');
    } finally {
      await readOnly(false);
    }
    await assertWritable(pool({ role: 'app_api' }));
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

describe('one statement', () => {
  const failing = `create function pg_temp.fail(code text) returns int language plpgsql as $$
    begin raise exception 'on purpose' using errcode = code; end $$`;
  const keepsConnection = async (statement: string, values?: unknown[]) => {
    const one = pool({ max: 1 });
    await one.query(failing);
    const before = await show(one, 'pg_backend_pid()');
    await expect(one.query(statement, values)).rejects.toThrow();
    return (await show(one, 'pg_backend_pid()')) === before;
  };

  it.each([
    ['that a function of ours refuses', 'select pg_temp.fail($1)', 'P0E61'],
    ['that waits too long for a lock', 'select pg_temp.fail($1)', '55P03'],
    ['with a number out of its range', 'select 1 / $1::int', 0],
  ])('%s leaves its connection to the next one', async (_what, statement, value) => {
    expect(await keepsConnection(statement, [value])).toBe(true);
  });

  it.each([
    ['that says the server takes no changes', 'select pg_temp.fail($1)', ['25006']],
    ['that says the server goes away', 'select pg_temp.fail($1)', ['57P01']],
    ['whose plan is stale', 'select pg_temp.fail($1)', ['42804']],
    ['that says its transaction took too long', 'select pg_temp.fail($1)', ['25P04']],
    ['that the server has not', 'select pg_temp.fail($1)', ['0A000']],
    ['that met a defect of the server', 'select pg_temp.fail($1)', ['XX000']],
    ['that ends its own connection', 'select pg_terminate_backend($1::int + pg_backend_pid())', [0]],
    ['that is one of several, whose transaction it leaves aborted', 'begin; select * from nothing.there', undefined],
  ])('%s leaves the next one another connection', async (_what, statement, values) => {
    expect(await keepsConnection(statement, values)).toBe(false);
  });

  it('whose session knows types that are gone fails once, because the next one gets another session', async () => {
    const domain = 'create domain engine.pieces as integer check (value > 0)';
    await db.owner.query(`${domain}; create function engine.count_pieces() returns integer language plpgsql as $$
      declare n engine.pieces := 1; begin return n; end $$`);
    const one = pool({ max: 1 });
    expect(await show(one, 'engine.count_pieces()')).toBe('1');
    await db.owner.query(`drop domain engine.pieces; ${domain}`);
    await expect(show(one, 'engine.count_pieces()')).rejects.toThrow(/type with OID \d+ does not exist/);
    expect(await show(one, 'engine.count_pieces()')).toBe('1');
    await db.owner.query('drop function engine.count_pieces; drop domain engine.pieces');
  });
});

describe('a transaction', () => {
  const rows = async (of: pg.Pool) =>
    (await of.query(`select name from engine.api_key where name like 'tx-%'`)).rowCount;
  const insert = (client: pg.PoolClient, name: string) =>
    client.query(`insert into engine.api_key (name, proof_hash, scopes) values ($1, convert_to($1, 'UTF8'), '{}')`, [
      name,
    ]);

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

describe('a connection that is cut between two queries of a transaction', () => {
  it.each([
    ['the engine', () => pool({ max: 1 })],
    ['the sandbox', () => ended(openPool(db.url, 4, pino({ level: 'silent' })))],
  ])('has a listener before anybody gets it, in %s', async (_, make) => {
    const one = make();
    // Counted in the callback, at once: the response before and the end of the connection may arrive in one piece.
    const counts: number[] = [];
    const taken = [1, 2].map(async () => {
      const client = await new Promise<pg.PoolClient>((resolve, reject) => {
        one.connect((error, given) => {
          counts.push(given?.listenerCount('error') ?? -1);
          if (error !== undefined) reject(error);
          else resolve(given!);
        });
      });
      client.release();
    });
    await Promise.all(taken);
    expect(counts).toEqual([1, 1]);
  });

  it('ends no process; the error tells what the driver says, and its cause why', async () => {
    const one = pool({ max: 1 });
    const work = inTransaction(one, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const ended = new Promise((resolve) => client.once('end', resolve));
      await db.owner.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
      await ended;
      await client.query('select 1');
    });
    const failed = (await work.catch((error: unknown) => error)) as Error;
    expect(isDatabaseAway(failed)).toBe(true);
    expect(failed.cause).toMatchObject({ code: '57P01' });
  });

  it('does not hide the reason why its work failed', async () => {
    const one = pool({ max: 1 });
    const reason = new Error('a reason of its own');
    const work = inTransaction(one, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const ended = new Promise((resolve) => client.once('end', resolve));
      await db.owner.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
      await ended;
      throw reason;
    });
    await expect(work).rejects.toBe(reason);
    expect(await show(one, '1')).toBe('1');
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
    '53200',
    '58000',
    '58030',
    '25006',
    '55P03',
    '57P01',
    '57P03',
    '57014',
    '40001',
    '40P01',
    '25P03',
    '28P01',
    '3D000',
    'CERT_HAS_EXPIRED',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ENOTFOUND',
    'ETIMEDOUT',
    'EAI_AGAIN',
  ])('is told by %s: come again', (code) => {
    expect(isDatabaseAway(Object.assign(new Error('no'), { code }))).toBe(true);
  });

  it.each(['53100', '53200', '53300', '58030'])('is full, as %s says: that is not the request’s fault', (code) => {
    expect(isServerFull(Object.assign(new Error('no'), { code }))).toBe(true);
    expect(isServerFull(Object.assign(new Error('no'), { code: '23505' }))).toBe(false);
    expect(isServerFull(undefined)).toBe(false);
  });

  it.each(['23505', '23514', '22003', '42501', '42P01', 'P0L01', 'P0E01', 'XX000', 'ERR_INVALID_ARG_TYPE'])(
    'is not told by %s: something is wrong with what was asked',
    (code) => {
      expect(isDatabaseAway(Object.assign(new Error('no'), { code }))).toBe(false);
    },
  );

  it('is told by what the driver itself says of a lost or late connection', async () => {
    const nowhere = createPool({ url: 'postgres://nobody@localhost:1/none', applicationName: 'test' });
    onTestFinished(() => nowhere.end());
    expect(isDatabaseAway(await nowhere.query('select 1').catch((error: unknown) => error))).toBe(true);

    // A server that was stopped in order removes its socket file.
    const fileless = createPool({ url: 'postgres://nobody@%2Fnowhere/none', applicationName: 'test' });
    onTestFinished(() => fileless.end());
    const refusal: unknown = await fileless.query('select 1').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'ENOENT', syscall: 'connect' });
    expect(isDatabaseAway(refusal)).toBe(true);

    const busy = new pg.Pool({ connectionString: db.url, max: 1 });
    const client = await busy.connect();
    // Its one connection is taken: no wait gets one.
    busy.options.connectionTimeoutMillis = 1;
    expect(isDatabaseAway(await busy.query('select 1').catch((error: unknown) => error))).toBe(true);
    client.release();
    await busy.end();
    expect(isDatabaseAway(await busy.query('select 1').catch((error: unknown) => error))).toBe(true);

    const slow = new pg.Pool({ connectionString: db.url, max: 1, query_timeout: 1 });
    expect(isDatabaseAway(await slow.query('select pg_sleep(60)').catch((error: unknown) => error))).toBe(true);
    await slow.end();
  });

  it('is not told by a defect of ours', () => {
    expect(isDatabaseAway(new TypeError('x is not a function'))).toBe(false);
    expect(isDatabaseAway('oops')).toBe(false);
    expect(isDatabaseAway({})).toBe(false);
  });
});
