import { randomInt } from 'node:crypto';
import type pg from 'pg';
import type { Queryable } from './database.ts';

export interface KeyPair {
  readonly accessKey: string;
  readonly secretKey: string;
}

const ALPHANUMERIC = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const randomText = (length: number): string =>
  Array.from({ length }, () => ALPHANUMERIC[randomInt(ALPHANUMERIC.length)]).join('');

/** The secret of an access key in force; null if there is none. */
export async function secretOf(on: Queryable, accessKey: string): Promise<string | null> {
  const { rows } = await on.query<{ secret_key: string }>(
    'SELECT secret_key FROM sandbox.access_key WHERE access_key = $1 AND revoked_at IS NULL',
    [accessKey],
  );
  return rows[0]?.secret_key ?? null;
}

async function insert(pool: pg.Pool, pair: KeyPair): Promise<void> {
  await pool.query('INSERT INTO sandbox.access_key (access_key, secret_key) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    pair.accessKey,
    pair.secretKey,
  ]);
}

/**
 * The key pair to begin with: the configured one, inserted if absent; else the oldest the database holds; else a new
 * one of the lengths the documents show (32 and 64). Throws if the configured access key is stored with another
 * secret, because every signature would then fail for a reason nobody could see.
 */
export async function firstKeyPair(
  pool: pg.Pool,
  configured: KeyPair | null,
): Promise<KeyPair & { readonly isGenerated: boolean }> {
  if (configured !== null) {
    await insert(pool, configured);
    if ((await secretOf(pool, configured.accessKey)) !== configured.secretKey) {
      throw new Error('SANDBOX_ACCESS_KEY is already stored with another secret key or is revoked; use another pair');
    }
    return { ...configured, isGenerated: false };
  }
  const { rows } = await pool.query<KeyPair>(
    `SELECT access_key AS "accessKey", secret_key AS "secretKey" FROM sandbox.access_key
     WHERE revoked_at IS NULL ORDER BY created_at, access_key LIMIT 1`,
  );
  if (rows[0] !== undefined) return { ...rows[0], isGenerated: false };
  const made = { accessKey: randomText(32), secretKey: randomText(64) };
  await insert(pool, made);
  return { ...made, isGenerated: true };
}
