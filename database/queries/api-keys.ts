import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { Secret } from '../../config/keys/secret.ts';
import type { Db } from '../pool.ts';
import { execute, statement } from '../statements.ts';

export const SCOPES = [
  'deposits:create',
  'deposits:read',
  'events:read',
  'endpoints:manage',
  'reviews:decide',
  'audit:read',
] as const;
export type Scope = (typeof SCOPES)[number];

/** Names of callers. No `+`: it joins the names of the two operators of a decision. */
export const CALLER_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The caller. `name` is the operator of a decision when the key is personal. */
export interface ApiCaller {
  /** Shown in lists and logs; `K` and a number, so that it is never taken for a name. */
  readonly keyId: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** The wallets the key is limited to; null: every wallet. */
  readonly wallets: readonly string[] | null;
}

/** A caller with its proof: the holder of the proof acts in the caller's name. */
export interface ProvenCaller extends ApiCaller {
  readonly proof: Secret;
}

export interface NewKey {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly wallets?: readonly string[] | undefined;
  readonly expiresInMs?: number | undefined;
}

/** A key as lists show it: never the key itself, which nobody has but its caller. */
export interface ListedKey extends ApiCaller {
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly isLiving: boolean;
}

export type KeyRefusal = 'name' | 'separation' | 'pair';

/** The database's rules for keys do not allow it; a retry does not help. */
export class KeyError extends Error {
  readonly code: KeyRefusal;
  constructor(code: KeyRefusal, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * sha256 of a key: the proof that the database receives. It stores sha256 of the proof, in a column that no process can
 * read.
 */
export const proofOf = (key: string): Secret => new Secret(createHash('sha256').update(key, 'utf8').digest());

const REFUSALS: Readonly<Record<string, KeyRefusal>> = { P0E11: 'name', P0E12: 'separation', P0E13: 'pair' };

/**
 * Makes a key of 256 random bits, stores only a hash of its proof and returns the key: it cannot be shown again. Throws
 * {@link KeyError}: `pair` when the caller holds two living keys already.
 */
export async function issueKey(
  db: Db,
  { name, scopes, wallets, expiresInMs }: NewKey,
): Promise<{ readonly keyId: string; readonly key: string }> {
  const key = `dek_${randomBytes(32).toString('base64url')}`;
  try {
    const { rows } = await db.query<{ id: string }>('select engine.make_key($1, $2, $3, $4, $5) as id', [
      proofOf(key).reveal(),
      name,
      scopes,
      wallets ?? null,
      expiresInMs ?? null,
    ]);
    return { keyId: `K${rows[0]!.id}`, key };
  } catch (error) {
    const refusal = error instanceof pg.DatabaseError ? REFUSALS[error.code ?? ''] : undefined;
    if (refusal === undefined) throw error;
    throw Object.assign(new KeyError(refusal, (error as Error).message), { cause: error });
  }
}

/** As {@link issueKey}, but returns the key alone. */
export const createApiKey = async (db: Db, wanted: NewKey): Promise<string> => (await issueKey(db, wanted)).key;

const CALLER = statement('select key_id as "keyId", name, scopes, wallets from engine.caller($1)');

/** The caller, or null when the key is unknown, revoked or expired. Looked up by hash: nothing secret is compared. */
export async function findCaller(db: Db, key: string): Promise<ProvenCaller | null> {
  const proof = proofOf(key);
  const { rows } = await execute<ApiCaller>(db, CALLER, [proof.reveal()]);
  return rows[0] === undefined ? null : { ...rows[0], proof };
}

/** Every key there ever was, by name and age. */
export async function listKeys(db: Db): Promise<ListedKey[]> {
  const { rows } = await db.query<ListedKey>(
    `select 'K' || id as "keyId", name, scopes, wallets, created_at as "createdAt", expires_at as "expiresAt",
            revoked_at as "revokedAt",
            revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as "isLiving"
       from engine.api_key order by name, id`,
  );
  return rows;
}

/** Revokes the keys that are named, from the next request on. Returns their ids; those revoked before are left out. */
export async function revokeKeys(db: Db, keyIds: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ keyId: string }>('select engine.revoke_keys($1) as "keyId"', [keyIds]);
  return rows.map((row) => row.keyId);
}

/** Whether the key may use this wallet. If not, everything in the wallet must look to it as if it did not exist. */
export const mayUse = (caller: Pick<ApiCaller, 'wallets'>, wallet: string): boolean =>
  caller.wallets === null || caller.wallets.includes(wallet);
