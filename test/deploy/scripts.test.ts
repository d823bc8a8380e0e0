import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { findCaller } from '../../database/queries/api-keys.ts';
import { migrate } from '../../database/schema/migrate.ts';
import { createPool, withClient } from '../../database/pool.ts';
import { type PostgresServer, startPostgres } from '../../local/servers/postgres.ts';
import { root } from '../docs/variables.ts';
import { startOf } from '../support/programs.ts';

const run = promisify(execFile);
const hasPsql = spawnSync('psql', ['--version']).status === 0;
if (!hasPsql)
  console.warn('\n*** SKIPPED: no psql on this machine, so the scripts for the databases were NOT tried ***\n');

const secret = (name: string) => `${name}-${'x'.repeat(20)}`;
const passwords = {
  MIGRATOR_DATABASE_PASSWORD: secret('migrator'),
  TEMPORAL_DATABASE_PASSWORD: secret('temporal'),
  SANDBOX_DATABASE_PASSWORD: '',
  API_DATABASE_PASSWORD: secret('api'),
  WORKER_DATABASE_PASSWORD: secret('worker'),
  DECISIONS_DATABASE_PASSWORD: secret('decisions'),
  NOTIFIER_DATABASE_PASSWORD: '',
  AUDITOR_DATABASE_PASSWORD: secret('auditor'),
};

/** An empty server of its own, because roles belong to the whole of it; then the steps of docker-compose.yml, in order. */
describe.skipIf(!hasPsql)('the scripts set an empty PostgreSQL up', async () => {
  if (!hasPsql) return;
  const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-scripts-'));
  const server: PostgresServer = await startPostgres({ directory: folder, fsync: false, removeOnStop: true });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const passwordOf: Readonly<Record<string, string>> = {
    postgres: new URL(server.url).password,
    deposits_migrator: passwords.MIGRATOR_DATABASE_PASSWORD,
    temporal: passwords.TEMPORAL_DATABASE_PASSWORD,
    app_api: passwords.API_DATABASE_PASSWORD,
    app_worker: passwords.WORKER_DATABASE_PASSWORD,
    app_notifier: secret('notifier'),
    auditor: passwords.AUDITOR_DATABASE_PASSWORD,
  };
  const address = (role: string, database: string) =>
    `postgres://${role}:${passwordOf[role]}@127.0.0.1:${server.port}/${database}`;

  const psql = (url: string, script: string, env: Readonly<Record<string, string>> = passwords) =>
    run('psql', [url, '-X', '-q', '-f', join(root, 'deploy/postgres', script)], { env: { ...process.env, ...env } });

  async function query<T extends pg.QueryResultRow>(role: string, database: string, sql: string): Promise<T[]> {
    return withClient({ connectionString: address(role, database) }, async (client) => {
      return (await client.query<T>(sql)).rows;
    });
  }

  test('first the owners and their databases', async () => {
    await psql(address('postgres', 'postgres'), '10-databases.sql');
    const owners = await query<{ name: string; owner: string }>(
      'postgres',
      'postgres',
      `select datname as name, pg_get_userbyid(datdba) as owner from pg_database where datname !~ '^(postgres|template)' order by 1`,
    );
    expect(owners).toEqual([
      { name: 'deposits', owner: 'deposits_migrator' },
      { name: 'sandbox', owner: 'sandbox' },
      { name: 'temporal', owner: 'temporal' },
      { name: 'temporal_visibility', owner: 'temporal' },
    ]);
    await expect(query('temporal', 'deposits', 'select 1')).rejects.toThrow('permission denied for database');
  });

  test('then the migrations, by an owner who is no superuser', async () => {
    await withClient({ connectionString: address('deposits_migrator', 'deposits') }, async (client) => {
      expect((await migrate(client)).length).toBeGreaterThan(2);
      expect(await migrate(client)).toEqual([]);
    });
  });

  test('then the passwords of the logins, without which nobody gets in, and again without harm', async () => {
    const owner = address('deposits_migrator', 'deposits');
    await expect(psql(owner, 'passwords.sql', { ...passwords, API_DATABASE_PASSWORD: '' })).rejects.toThrow(
      'must be set',
    );
    await expect(query('app_api', 'deposits', 'select 1')).rejects.toThrow('password authentication failed');
    await psql(owner, 'passwords.sql');
    expect((await psql(owner, 'passwords.sql')).stdout).toMatch(/^NOTIFIER_DATABASE_PASSWORD is not set: app_notifier/);
    const withPassword = await query<{ rolname: string }>(
      'postgres',
      'postgres',
      `select rolname from pg_authid where rolpassword like 'SCRAM-SHA-256$%' and not rolsuper order by 1`,
    );
    // Neither the sandbox nor the archiver nor the notifier was wanted, so they have none.
    expect(withPassword.map((row) => row.rolname)).toEqual([
      'app_api',
      'app_decisions',
      'app_worker',
      'auditor',
      'deposits_migrator',
      'temporal',
    ]);
    expect(await query('app_api', 'deposits', 'select count(*)::int as n from engine.deposit')).toEqual([{ n: 0 }]);
    await expect(query('app_worker', 'deposits', 'select * from ledger.entry')).rejects.toThrow('permission denied');
  });

  test('the notifier’s password when there are endpoints', async () => {
    const owner = address('deposits_migrator', 'deposits');
    const wanted = { ...passwords, NOTIFIER_DATABASE_PASSWORD: passwordOf['app_notifier']! };
    expect((await psql(owner, 'passwords.sql', wanted)).stdout).toBe('');
    expect(await query('app_notifier', 'deposits', 'select from engine.claim_deliveries(1)')).toEqual([]);
  });

  test('no login can fill the server’s table of locks, by which nobody could connect any more', async () => {
    for (const sql of [
      'select pg_advisory_lock(1)',
      'select pg_try_advisory_xact_lock(1, 1)',
      'create temp table t ()',
    ])
      await expect(query('auditor', 'deposits', sql)).rejects.toThrow('permission denied');
  });

  test('and an API key that the API knows, made by the owner of the schema who is no superuser', async () => {
    const env = { ...process.env, DATABASE_URL_MIGRATOR: address('deposits_migrator', 'deposits') };
    const args = [...startOf('commands/keys.ts'), 'create', 'backend', '--scopes', 'deposits:read'];
    const key = (await run(process.execPath, args, { cwd: root, env })).stdout.trim();
    const pool = createPool({ url: address('app_api', 'deposits'), applicationName: 'test' });
    try {
      expect(await findCaller(pool, key)).toMatchObject({ name: 'backend', scopes: ['deposits:read'], wallets: null });
    } finally {
      await pool.end();
    }
  });
});
