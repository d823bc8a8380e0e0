import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { TEMPLATE } from './template.ts';
import { createPool, type Role, withClient } from '../../database/pool.ts';

export function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the tests with vitest and its global setup`);
  return value;
}

export interface TestDatabase {
  /** As the owner, who may do everything. */
  readonly url: string;
  /** The address a process of that role uses. */
  urlFor(role: Role): string;
  readonly owner: pg.Pool;
  poolFor(role: Role): pg.Pool;
}

/** A clone of the migrated template for one test file; dropped when the file is done. */
export async function createTestDatabase(): Promise<TestDatabase> {
  // Imported here: commands that need a database without vitest load this file as well.
  const { afterAll } = await import('vitest');
  const { db, drop } = await cloneTemplate(required('TEST_POSTGRES_URL'));
  afterAll(drop);
  return db;
}

/** A clone of the migrated template on that server; `drop` closes its pools first. */
export async function cloneTemplate(
  adminUrl: string,
): Promise<{ readonly db: TestDatabase; readonly drop: () => Promise<void> }> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(adminUrl, `create database ${name} template ${TEMPLATE}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  const urlFor = (role: Role) => {
    const own = new URL(url);
    own.username = role;
    return own.href;
  };
  const pools: pg.Pool[] = [];
  const open = (address: string, max: number) => {
    const pool = createPool({ url: address, applicationName: 'test', max, onIdleError: () => undefined });
    // A test waits for a busy machine up to its own timeout; the engine's own pools do not.
    pool.options.connectionTimeoutMillis = 50_000;
    pools.push(pool);
    return pool;
  };
  const owner = open(url.href, 4);
  const drop = async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await asAdmin(adminUrl, `drop database ${name} with (force)`);
  };
  return { db: { url: url.href, urlFor, owner, poolFor: (role) => open(urlFor(role), 20) }, drop };
}

/** The pool, and the number of its queries. */
export function counted(pool: pg.Pool): { readonly pool: pg.Pool; readonly asked: () => number } {
  let asked = 0;
  const query = (...given: Parameters<typeof pool.query>) => {
    asked += 1;
    return pool.query(...given);
  };
  return { pool: Object.assign(Object.create(pool) as pg.Pool, { query }), asked: () => asked };
}

/** Runs a statement as a superuser, with triggers disabled. */
export async function byHand(owner: pg.Pool, sql: string, values: readonly unknown[] = []): Promise<void> {
  const client = await owner.connect();
  try {
    await client.query('begin');
    await client.query('set local session_replication_role = replica');
    await client.query(sql, [...values]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

/** One statement on a connection of its own. */
export async function asAdmin(url: string, sql: string): Promise<void> {
  await withClient({ connectionString: url }, async (client) => {
    await client.query(sql);
  });
}
