import { createHash } from 'node:crypto';
import type pg from 'pg';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import type { NewCallback, Stamp } from '../../database/queries/callbacks.ts';
import type { Receipt } from '../../domain/review.ts';
import { SEALED_ROWS, type SealedRow, type SealTrust } from '../../providers/sealed-rows.ts';
import { createSealer, type NewSeal, publicSealKey, sealKey, sealPublicKeys } from '../../config/keys/inbox-seal.ts';

/** The API's seal of every test: the same in all processes of a run, so that an audit in another one verifies it. */
const seed = createHash('sha256').update('the seal of the tests').digest();
export const SEAL_ENV = {
  INBOX_SEAL_KEY: seed.toString('base64url'),
  INBOX_SEAL_PUBLIC_KEYS: publicSealKey(new Secret(seed)),
};

export const testSealKey = sealKey(new Secret(seed));
export const seal = createSealer(fixedKeyring(testSealKey));

const trusted: SealTrust = {
  publicKeys: sealPublicKeys(new Secret(Buffer.from(SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS))),
  epoch: null,
};
export const sealTrust = (): SealTrust => trusted;

/** A row as the API writes it: with its seal. */
export function sealed<Row extends Omit<NewCallback, 'seal'>>(
  callback: Row,
  stamp: Stamp | null = null,
): Row & { readonly seal: NewSeal } {
  const { receipt, externalOrderNumber, contentHash, raw } = callback;
  const rawHash = createHash('sha256').update(raw).digest();
  const facts = { receipt, externalOrderNumber, contentHash, rawHash, stamp };
  return { ...callback, seal: seal({ ...facts, sealedMs: Date.now() }) };
}

/**
 * Moves the stored messages of an order with this receipt back in time, and seals them for that time. `owner` is a
 * superuser.
 */
export async function cameEarlier(
  owner: pg.Pool,
  externalOrderNumber: string,
  byMs: number,
  receipt: Receipt = 'unknown_order',
): Promise<void> {
  const { rows } = await owner.query<SealedRow>(
    `${SEALED_ROWS} where c.external_order_number = $1 and c.receipt = $2`,
    [externalOrderNumber, receipt],
  );
  for (const row of rows) {
    const { signature, sealedMs } = seal({
      receipt,
      externalOrderNumber,
      contentHash: row.content_hash,
      rawHash: row.raw_hash,
      stamp: row.key_id === null ? null : { keyId: row.key_id, timestampMs: Number(row.timestamp_ms) },
      sealedMs: row.received_at.getTime() - byMs,
    });
    await owner.query(`begin; set local session_replication_role = replica;
      update engine.callback set received_at = to_timestamp(${sealedMs / 1_000}), sealed_ms = ${sealedMs},
                                 seal = '\\x${signature.toString('hex')}' where id = ${row.id}; commit`);
  }
}
