import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { KEEPS_TRANSACTIONS, keptTransactions, parameterLogging, warnOfLogging } from '../../database/log-settings.ts';
import { createPool, inTransaction } from '../../database/pool.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { memoryLog, raised } from '../api/evidence.ts';
import { createTestDatabase } from '../support/database.ts';

const db = await createTestDatabase();

/** The warnings about a session with these settings. */
const toldOf = (settings: Readonly<Record<string, string>>) =>
  inTransaction(db.owner, async (client) => {
    for (const [name, value] of Object.entries({ log_parameter_max_length: '-1', ...settings }))
      await client.query(`set local ${name} = '${value}'`);
    return (await parameterLogging(client)).map((setting) => setting.split('=')[0]);
  });

// Each was tried on PostgreSQL 15: the reported ones logged statement parameters, the others did not.
test.each([
  [{}, []],
  [{ log_statement: 'ddl' }, []],
  [{ log_statement: 'mod' }, ['log_statement']],
  [{ log_statement: 'all' }, ['log_statement']],
  [{ log_statement: 'all', log_parameter_max_length: '64' }, ['log_statement']],
  [{ log_statement: 'all', log_parameter_max_length: '0' }, []],
  [{ log_duration: 'on' }, []],
  [{ log_min_duration_statement: '0' }, ['log_min_duration_statement']],
  [{ log_min_duration_statement: '1s' }, ['log_min_duration_statement']],
  [{ log_min_duration_statement: '1s', log_parameter_max_length: '0' }, []],
  [{ log_min_duration_sample: '0', log_statement_sample_rate: '0' }, []],
  [{ log_min_duration_sample: '0', log_statement_sample_rate: '0.5' }, ['log_min_duration_sample']],
  [{ log_transaction_sample_rate: '0.1' }, ['log_transaction_sample_rate']],
  [{ log_parameter_max_length_on_error: '-1' }, ['log_parameter_max_length_on_error']],
  [{ 'auto_explain.log_min_duration': '0', log_parameter_max_length: '0' }, ['auto_explain.log_min_duration']],
  [{ log_statement: 'all', log_min_duration_statement: '0' }, ['log_statement', 'log_min_duration_statement']],
])('a server that writes what statements are given is told by its settings: %j', async (settings, told) => {
  expect(await toldOf(settings as Record<string, string>)).toEqual(told);
});

test('a process says once at its start how the server was told to, and keeps what a failing statement was given out by itself', async () => {
  const pool = () => createPool({ url: db.url, role: 'app_api', applicationName: 'test', max: 1 });
  const said = async () => {
    const { log, lines } = memoryLog();
    const opened = pool();
    await warnOfLogging(opened, log);
    await opened.end();
    return raised(log, lines);
  };
  expect(await said()).toEqual([]);
  const database = new URL(db.url).pathname.slice(1);
  await db.owner.query(`alter database ${database} set log_statement = 'mod'`);
  await db.owner.query(`alter database ${database} set log_parameter_max_length_on_error = '-1'`);
  expect(await said()).toMatchObject([{ alarm: 'database_logs_parameters', settings: ['log_statement=mod'] }]);
  const opened = pool();
  await opened.end();
  await expect(warnOfLogging(opened, memoryLog().log)).resolves.toBeUndefined();
});

test('a server that keeps transactions which no session holds is told at the start', async () => {
  expect(await keptTransactions(db.owner)).toBe(0);
  const directory = await mkdtemp(join(tmpdir(), 'postgres-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const before = await startPostgres({ directory, fsync: false });
  const administrator = createPool({ url: before.url, applicationName: 'test', max: 1 });
  await administrator.query('alter system set max_prepared_transactions = 1');
  await administrator.end();
  await before.stop();
  const server = await startPostgres({ directory, fsync: false, removeOnStop: true });
  onTestFinished(() => server.stop());
  const pool = createPool({ url: server.url, applicationName: 'test', max: 1 });
  onTestFinished(() => pool.end());
  const { log, lines } = memoryLog();
  await warnOfLogging(pool, log);
  expect(lines.join()).toContain(KEEPS_TRANSACTIONS);
});
