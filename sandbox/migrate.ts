import { readdir, readFile } from 'node:fs/promises';
import type pg from 'pg';
import { inTransaction } from './database.ts';
import { sha256 } from './wire/signature.ts';

const FOLDER = new URL('./migrations/', import.meta.url);

/** The advisory lock: two sandboxes must not migrate at once. No other program in this database may use the number. */
const ADVISORY_LOCK = 8_290_001;

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly hash: string;
}

async function migrationsOnDisk(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{3}-[a-z0-9-]+\.sql$/.test(name));
  return Promise.all(
    names.toSorted().map(async (name) => {
      const sql = await readFile(new URL(name, FOLDER), 'utf8');
      return { name, sql, hash: sha256(sql) };
    }),
  );
}

/**
 * Brings the schema `sandbox` up to date, all files in one transaction. Throws if an applied file has been edited or
 * removed since: the files would no longer describe the database.
 */
export async function migrate(pool: pg.Pool): Promise<void> {
  const migrations = await migrationsOnDisk();
  await inTransaction(pool, async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCK]);
    // IF NOT EXISTS would need the right to create schemas even if this one already exists.
    const { rowCount } = await client.query(`SELECT FROM pg_namespace WHERE nspname = 'sandbox'`);
    if (rowCount === 0) await client.query('CREATE SCHEMA sandbox');
    await client.query(
      `CREATE TABLE IF NOT EXISTS sandbox.migration
         (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    );
    const { rows } = await client.query<{ name: string; sha256: string }>('SELECT name, sha256 FROM sandbox.migration');
    const applied = new Map(rows.map((row) => [row.name, row.sha256]));
    for (const { name, sql, hash } of migrations) {
      const before = applied.get(name);
      applied.delete(name);
      if (before === hash) continue;
      if (before !== undefined) throw new Error(`sandbox migration ${name} was edited after it was applied`);
      await client.query(sql);
      await client.query('INSERT INTO sandbox.migration (name, sha256) VALUES ($1, $2)', [name, hash]);
    }
    const [missing] = applied.keys();
    if (missing !== undefined) throw new Error(`sandbox migration ${missing} was applied but its file is gone`);
  });
}
