import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { onTestFinished } from 'vitest';
import { MIGRATIONS } from '../../../database/schema/migrate.ts';
import { required } from '../../support/database.ts';

export const FILES = (await readdir(MIGRATIONS)).toSorted();

export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/** An empty database on the shared server, as its superuser. */
export async function emptyDatabase(): Promise<{ readonly url: string; readonly client: pg.Client }> {
  const admin = await connect(required('TEST_POSTGRES_URL'));
  const name = `empty_${randomBytes(6).toString('hex')}`;
  await admin.query(`create database ${name}`);
  onTestFinished(async () => void (await admin.query(`drop database ${name} with (force)`)));
  const url = new URL(required('TEST_POSTGRES_URL'));
  url.pathname = `/${name}`;
  return { url: url.href, client: await connect(url.href) };
}

/** A copy of the migrations in a folder of its own, to be changed. */
export async function copyOfMigrations(files: readonly string[] = FILES): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const file of files) await copyFile(join(MIGRATIONS, file), join(folder, file));
  return folder;
}

export const number = (n: number) => `${n}`.padStart(3, '0');
export const applied = async (client: pg.Client) =>
  (await client.query<{ name: string }>('select name from engine.schema_migration order by name')).rows.map(
    (row) => row.name,
  );
