import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';

export const SCOPES = ['deposits:create', 'deposits:read', 'reviews:decide', 'audit:read'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who calls. `name` is the operator of a decision when the key is personal. */
export interface ApiCaller {
  readonly name: string;
  readonly scopes: readonly Scope[];
}

const hashOf = (key: string): Buffer => createHash('sha256').update(key, 'utf8').digest();

/** Makes a key of 256 random bits, stores its hash only and answers the key: it cannot be shown again. */
export async function createApiKey(
  db: pg.Pool | pg.ClientBase,
  { name, scopes }: { readonly name: string; readonly scopes: readonly Scope[] },
): Promise<string> {
  const key = `dek_${randomBytes(32).toString('base64url')}`;
  await db.query(
    `insert into engine.api_key (name, hash, scopes) values ($1, $2, $3)
     on conflict (name) do update set hash = excluded.hash, scopes = excluded.scopes, revoked_at = null, expires_at = null`,
    [name, hashOf(key), scopes],
  );
  return key;
}

/** The caller, or null when the key is unknown, revoked or expired. Looked up by hash: nothing secret is compared. */
export async function findCaller(db: pg.Pool, key: string): Promise<ApiCaller | null> {
  const { rows } = await db.query<ApiCaller>(
    `select name, scopes from engine.api_key
      where hash = $1 and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())`,
    [hashOf(key)],
  );
  return rows[0] ?? null;
}
