import { randomInt } from 'node:crypto';
import type pg from 'pg';
import { inTransaction, type Queryable } from './database.ts';
import { record } from './event-log.ts';

export interface KeyPair {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** A key in lists, without its secret, which is shown only once, when the key is created. */
export interface KeyView {
  readonly accessKey: string;
  readonly state: 'active' | 'disabled';
  readonly createdAt: string;
  /** When it was or will be disabled; null: no end is set. */
  readonly disabledAt: string | null;
}

const ALPHANUMERIC = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const randomText = (length: number): string =>
  Array.from({ length }, () => ALPHANUMERIC[randomInt(ALPHANUMERIC.length)]).join('');

/** Returns a new key pair with the lengths in the documents; it is not stored yet. */
export const newKeyPair = (): KeyPair => ({ accessKey: randomText(32), secretKey: randomText(64) });

/** Returns the secret of an access key in force; null if there is none. */
export async function secretOf(on: Queryable, accessKey: string): Promise<string | null> {
  const { rows } = await on.query<{ secret_key: string }>(
    'SELECT secret_key FROM sandbox.access_key WHERE access_key = $1 AND (revoked_at IS NULL OR revoked_at > now())',
    [accessKey],
  );
  return rows[0]?.secret_key ?? null;
}

async function insert(on: Queryable, pair: KeyPair): Promise<void> {
  await on.query('INSERT INTO sandbox.access_key (access_key, secret_key) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    pair.accessKey,
    pair.secretKey,
  ]);
}

/** Lists every key, including disabled ones, newest first. */
export async function listKeys(on: Queryable): Promise<KeyView[]> {
  const { rows } = await on.query<{ accessKey: string; inForce: boolean; createdAt: Date; disabledAt: Date | null }>(
    `SELECT access_key AS "accessKey", revoked_at IS NULL OR revoked_at > now() AS "inForce",
       created_at AS "createdAt", revoked_at AS "disabledAt"
     FROM sandbox.access_key ORDER BY position DESC`,
  );
  return rows.map(({ accessKey, inForce, createdAt, disabledAt }) => ({
    accessKey,
    state: inForce ? 'active' : 'disabled',
    createdAt: createdAt.toISOString(),
    disabledAt: disabledAt?.toISOString() ?? null,
  }));
}

/** Creates another key beside those in force. Only the return value shows its secret. */
export async function createKey(pool: pg.Pool): Promise<KeyPair> {
  return inTransaction(pool, async (client) => {
    const pair = newKeyPair();
    await insert(client, pair);
    await record(client, 'key.created', null);
    return pair;
  });
}

/** Disables a key from now on, even if an end was set for later. False if it is unknown or disabled already. */
export async function disableKey(pool: pg.Pool, accessKey: string): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      `UPDATE sandbox.access_key SET revoked_at = now()
       WHERE access_key = $1 AND (revoked_at IS NULL OR revoked_at > now())`,
      [accessKey],
    );
    if (rowCount === 1) await record(client, 'key.disabled', null);
    return rowCount === 1;
  });
}

/**
 * Creates a key and sets an end to all others in force: `overlapMs` from now, not divided by the speed. An earlier end
 * stays. Only the return value shows the secret.
 */
export async function rotateKeys(
  pool: pg.Pool,
  overlapMs: number,
): Promise<KeyPair & { readonly othersDisabledAt: string }> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ at: Date }>(`SELECT now() + $1 * interval '1 ms' AS at`, [overlapMs]);
    const { at } = rows[0]!;
    await client.query(`UPDATE sandbox.access_key SET revoked_at = $1 WHERE revoked_at IS NULL OR revoked_at > $1`, [
      at,
    ]);
    const pair = newKeyPair();
    await insert(client, pair);
    await record(client, 'key.rotated', null, { overlapMs });
    return { ...pair, othersDisabledAt: at.toISOString() };
  });
}

/**
 * Returns the initial key pair: the configured one, inserted if absent; else the oldest one in force in the database;
 * else a new one. A configured key that was disabled stays disabled: a restart does not undo a rotation.
 * Throws if the configured access key is stored with another secret: every signature would fail with no visible cause.
 */
export async function firstKeyPair(
  pool: pg.Pool,
  configured: KeyPair | null,
): Promise<KeyPair & { readonly isGenerated: boolean }> {
  if (configured !== null) {
    await insert(pool, configured);
    const { rows } = await pool.query<{ secretKey: string }>(
      'SELECT secret_key AS "secretKey" FROM sandbox.access_key WHERE access_key = $1',
      [configured.accessKey],
    );
    if (rows[0]?.secretKey !== configured.secretKey) {
      throw new Error('SANDBOX_ACCESS_KEY is already stored with another secret key; use another pair');
    }
    return { ...configured, isGenerated: false };
  }
  const { rows } = await pool.query<KeyPair>(
    `SELECT access_key AS "accessKey", secret_key AS "secretKey" FROM sandbox.access_key
     WHERE revoked_at IS NULL OR revoked_at > now() ORDER BY position LIMIT 1`,
  );
  if (rows[0] !== undefined) return { ...rows[0], isGenerated: false };
  const made = newKeyPair();
  await insert(pool, made);
  return { ...made, isGenerated: true };
}
