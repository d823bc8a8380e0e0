import type pg from 'pg';
import type { DatabaseConfig } from '../../config/settings/read-environment.ts';
import { openConnection } from '../../database/pool.ts';

/**
 * Opens a connection in one read-only transaction with one snapshot. `snapshot`: that of another such connection, so
 * that several processes read the same. Names without a schema are PostgreSQL's own. A row security policy fails a
 * query instead of hiding rows from it, unless it is a finding already.
 */
export async function openSession(database: DatabaseConfig, snapshot: string | null): Promise<pg.Client> {
  const client = await openConnection({ url: database.url, role: 'auditor', applicationName: 'deposit-audit' });
  // JIT compilation costs more than it saves: these statements look expensive and run once.
  await client.query('set search_path = pg_catalog, pg_temp; set jit = off');
  await client.query(
    `select set_config('row_security', 'off', false) where not exists (select from pg_class where relrowsecurity)`,
  );
  await client.query('begin isolation level repeatable read read only');
  if (snapshot !== null) await client.query(`set transaction snapshot '${snapshot.replaceAll("'", '')}'`);
  return client;
}

/** Runs `work` in a session of its own, on the newest rows. */
export async function inSession<T>(database: DatabaseConfig, work: (db: pg.Client) => Promise<T>): Promise<T> {
  const db = await openSession(database, null);
  try {
    return await work(db);
  } finally {
    await db.end();
  }
}

export async function snapshotOf(session: pg.Client): Promise<string> {
  const { rows } = await session.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
  return rows[0]!.snapshot;
}
