import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import type pg from 'pg';
import { inTransaction } from '../../database.ts';

/** About 32 MiB and 100 ms per attempt. */
const COST = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1_048_576 } as const;
const HASH_BYTES = 32;

const hashOf = (password: string, salt: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, HASH_BYTES, COST, (error, hash) => (error ? reject(error) : resolve(hash)));
  });

/** Whether this is the console's password. */
export async function isPassword(pool: pg.Pool, given: string): Promise<boolean> {
  const { rows } = await pool.query<{ salt: Buffer; hash: Buffer }>('SELECT salt, hash FROM sandbox.console_password');
  const stored = rows[0];
  return stored !== undefined && timingSafeEqual(await hashOf(given, stored.salt), stored.hash);
}

/** Stores the password; a changed one ends every session of the old one. */
async function store(pool: pg.Pool, password: string): Promise<void> {
  const salt = randomBytes(16);
  const hash = await hashOf(password, salt);
  await inTransaction(pool, async (client) => {
    await client.query('DELETE FROM sandbox.console_session');
    await client.query(
      `INSERT INTO sandbox.console_password (salt, hash) VALUES ($1, $2)
       ON CONFLICT (one_row) DO UPDATE SET salt = excluded.salt, hash = excluded.hash, changed_at = now()`,
      [salt, hash],
    );
  });
}

/**
 * Ensures that the console has a password: the configured one, else the one whose hash is stored, else a new one.
 * Returns the new one, because nobody has seen it; null in the other cases.
 */
export async function settlePassword(pool: pg.Pool, configured: string | null): Promise<string | null> {
  if (configured !== null) {
    if (!(await isPassword(pool, configured))) await store(pool, configured);
    return null;
  }
  const { rowCount } = await pool.query('SELECT FROM sandbox.console_password');
  if (rowCount !== 0) return null;
  const made = randomBytes(18).toString('base64url');
  await store(pool, made);
  return made;
}
