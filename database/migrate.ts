import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';

/** Any fixed number; two migrators of one database take turns on it. */
const MIGRATION_LOCK = 7_268_104;
const NAME = /^(\d{3})-[a-z0-9-]+\.sql$/;

export const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url));

/** A migration that cannot be applied as it stands; a person has to look, retrying does not help. */
export class MigrationError extends Error {}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
}

/**
 * Brings the database to the newest schema, one transaction per file, and answers the names of the files applied now.
 * Refuses a changed file, a gap in the numbers and an applied name it does not know ({@link MigrationError}).
 */
export async function migrate(client: pg.ClientBase, folder: string = MIGRATIONS): Promise<string[]> {
  const migrations = await readMigrations(folder);
  await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
  try {
    await client.query('create schema if not exists engine');
    await client.query(
      'create table if not exists engine.schema_migration (name text primary key, sha256 text not null, applied_at timestamptz not null default clock_timestamp())',
    );
    const applied = await appliedNames(client, migrations);
    const missing = migrations.filter((migration) => !applied.has(migration.name));
    for (const migration of missing) await apply(client, migration);
    return missing.map((migration) => migration.name);
  } finally {
    await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
  return Promise.all(
    names.map(async (name, index) => {
      if (Number(NAME.exec(name)?.[1]) !== index + 1) {
        throw new MigrationError(`${name}: expected a file numbered ${index + 1}, as in 001-name.sql, without gaps`);
      }
      const sql = await readFile(`${folder}/${name}`, 'utf8');
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

async function appliedNames(client: pg.ClientBase, migrations: readonly Migration[]): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string; sha256: string }>(
    'select name, sha256 from engine.schema_migration order by name',
  );
  for (const [index, row] of rows.entries()) {
    const migration = migrations[index];
    if (migration?.name !== row.name) {
      throw new MigrationError(
        `the database has ${row.name}, these files do not: is this an older version of the code?`,
      );
    }
    if (migration.sha256 !== row.sha256) {
      throw new MigrationError(`${row.name} was changed after it was applied: write a new migration instead`);
    }
  }
  return new Set(rows.map((row) => row.name));
}

async function apply(client: pg.ClientBase, migration: Migration): Promise<void> {
  try {
    await client.query('begin');
    await client.query(migration.sql);
    await client.query('reset role');
    await client.query('insert into engine.schema_migration (name, sha256) values ($1, $2)', [
      migration.name,
      migration.sha256,
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw new MigrationError(`${migration.name}: ${(error as Error).message}`, { cause: error });
  }
}
