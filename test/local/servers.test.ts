import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type Servers, startServers } from '../../local/servers.ts';
import { isServing } from '../../local/temporal.ts';
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

test('a server that is not wanted is not started', async () => {
  const data = makeDataDirectory();
  const servers = await startServers({ postgres: false, temporal: false, data });
  expect([servers.databaseUrl, servers.temporalAddress]).toEqual([null, null]);
});
