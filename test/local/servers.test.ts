import { spawn } from 'node:child_process';
import pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../database/schema/migrate.ts';
import { embeddedUrl } from '../../local/stack/environment.ts';
import { root } from '../../local/servers/paths.ts';
import { createDatabases, type Servers, startServers } from '../../local/stack/servers.ts';
import { isServing } from '../../local/servers/temporal.ts';
import { makeDataDirectory } from './support.ts';

async function started(data: string): Promise<Servers> {
  const servers = await startServers({ postgres: true, temporal: true, data });
  onTestFinished(() => servers.stop());
  return servers;
}

async function databaseNameAt(url: string | null): Promise<string | null> {
  const client = new pg.Client({ connectionString: url ?? '' });
  try {
    await client.connect();
    const { rows } = await client.query<{ name: string }>('select current_database() as name');
    return rows[0]?.name ?? null;
  } catch {
    return null;
  } finally {
    await client.end().catch(() => {});
  }
}

test('a command gets the servers that run already, and stops only those it has started itself', async () => {
  const data = makeDataDirectory();
  const first = await started(data);
  const second = await started(data);
  expect([second.databaseUrl, second.temporalAddress]).toEqual([first.databaseUrl, first.temporalAddress]);
  await second.stop();
  expect(await databaseNameAt(first.databaseUrl)).toBe('deposits');
  expect(await isServing(first.temporalAddress ?? '')).toBe(true);
  await first.stop();
  expect(await databaseNameAt(first.databaseUrl)).toBeNull();
  expect(await isServing(first.temporalAddress ?? '')).toBe(false);
});

test('a command beside running servers ends when its work is done', async () => {
  const data = makeDataDirectory();
  await started(data);
  const command = `const { startServers } = await import(process.argv[1]);
    await (await startServers({ postgres: true, temporal: true, data: process.argv[2] })).stop();`;
  const module = new URL('../../local/stack/servers.ts', import.meta.url).href;
  const { code } = await new Promise<{ code: number | null }>((resolve) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', command, module, data], {
      cwd: root,
    });
    child.once('exit', (ended) => resolve({ code: ended }));
    onTestFinished(() => void child.kill('SIGKILL'));
  });
  expect(code).toBe(0);
});

test('a server that is not wanted is not started', async () => {
  const data = makeDataDirectory();
  const servers = await startServers({ postgres: false, temporal: false, data });
  expect([servers.databaseUrl, servers.temporalAddress]).toEqual([null, null]);
});

test("the sandbox's database is its own login's, also one that an earlier version made as a superuser", async () => {
  const { databaseUrl } = await started(makeDataDirectory());
  const ask = async (user: string, database: string, sql: string) => {
    return withClient({ connectionString: embeddedUrl(databaseUrl ?? '', user, database) }, async (client) => {
      return (await client.query(sql)).rows;
    });
  };
  await ask(
    'postgres',
    'sandbox',
    'create schema sandbox; create table sandbox.old (id int generated always as identity)',
  );
  await ask('postgres', 'sandbox', 'alter database sandbox owner to postgres');
  await createDatabases(new URL('/postgres', databaseUrl ?? '').href);
  await ask('sandbox', 'sandbox', 'alter table sandbox.old add more int; insert into sandbox.old default values');
  expect(await ask('sandbox', 'sandbox', 'select rolsuper from pg_roles where rolname = current_user')).toEqual([
    { rolsuper: false },
  ]);
  await migrateIn(databaseUrl ?? '');
  await expect(ask('sandbox', 'deposits', 'select from engine.deposit')).rejects.toMatchObject({ code: '42501' });
});

async function migrateIn(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await migrate(client);
  await client.end();
}
