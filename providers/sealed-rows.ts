import { setTimeout as sleep } from 'node:timers/promises';
import type { CallbackData } from '../domain/order.ts';
import type { Receipt } from '../domain/review.ts';
import { contentHash } from './content-hash.ts';
import { isSealOf, type SealKey, type SealPublicKeys } from '../config/keys/inbox-seal.ts';
import { demandMacs, registerSealKey } from '../database/queries/seal-macs.ts';
import type { Db } from '../database/pool.ts';
import { execute, statement } from '../database/statements.ts';

/** The data that a seal is verified against: an inbox row and the stamp of its first message. */
export interface SealedRow {
  readonly id: string;
  readonly receipt: Receipt;
  readonly order: string;
  readonly content_hash: Buffer;
  readonly data: CallbackData | null;
  readonly raw_hash: Buffer;
  readonly received_at: Date;
  readonly seal: Buffer | null;
  readonly seal_key: string | null;
  readonly sealed_ms: string | null;
  readonly key_id: string | null;
  readonly timestamp_ms: string | null;
  /** Whether it has a case, open or decided. */
  readonly given: boolean;
  /** The id up to which no row needs a seal, by the database; read only if a row has no seal. */
  readonly epoch?: string;
}

/** SQL: selects rows `c` with their seals; a condition is appended. */
export const SEALED_ROWS = `
  select c.id, c.receipt, c.external_order_number as order, c.content_hash, c.data, sha256(c.raw) as raw_hash, c.received_at,
         c.seal, c.seal_key, c.sealed_ms, a.key_id, a.timestamp_ms, coalesce(c.outcome like 'review:%', false) as given
    from engine.callback c left join engine.callback_attempt a on a.callback = c.id and a.n = 1`;

/** The settings that seals are verified with. They come from the verifying process, never from the database. */
export interface SealTrust {
  readonly publicKeys: SealPublicKeys;
  /** The largest id up to which rows need no seal; null: the database's value is not limited. */
  readonly epoch: string | null;
}

/**
 * The result of verifying a row:
 * - `before`: the row is older than seals, and has none;
 * - `not_sealed`: the seal is missing;
 * - `broken`: the seal does not match the row, and `fault` states why.
 */
export type SealVerdict =
  | { readonly kind: 'sealed' | 'before' | 'not_sealed' }
  | { readonly kind: 'broken'; readonly fault: string };

/** Between the read of the clock and the insert of the row, a message waits seconds at most. */
const NEAR_MS = 60_000;
const BATCH = 500;
/** Maximum number of ids in `others`. */
const NAMED = 100;

export function verdictOn({ publicKeys, epoch }: SealTrust, row: SealedRow): SealVerdict {
  if (row.seal === null) {
    const { epoch: said = '0' } = row;
    const until = epoch !== null && BigInt(epoch) < BigInt(said) ? epoch : said;
    // The database assigns no id below 1, so such a row is not older than seals.
    return { kind: BigInt(row.id) > 0n && BigInt(row.id) <= BigInt(until) ? 'before' : 'not_sealed' };
  }
  const fault = faultOf(publicKeys, row, { signature: row.seal, key: row.seal_key!, sealedMs: Number(row.sealed_ms) });
  return fault === null ? { kind: 'sealed' } : { kind: 'broken', fault };
}

function faultOf(keys: SealPublicKeys, row: SealedRow, seal: Parameters<typeof isSealOf>[1]): string | null {
  if (!keys.has(seal.key)) return `sealed with the key ${seal.key}, which is not known`;
  const facts = {
    receipt: row.receipt,
    externalOrderNumber: row.order,
    contentHash: row.content_hash,
    rawHash: row.raw_hash,
    stamp: row.key_id === null ? null : { keyId: row.key_id, timestampMs: Number(row.timestamp_ms) },
  };
  if (!isSealOf(keys, seal, facts)) return 'its seal is over another row';
  const awayMs = Math.abs(row.received_at.getTime() - seal.sealedMs);
  if (awayMs > NEAR_MS) return `received ${Math.round(awayMs / 1_000)} s away from its seal`;
  if (row.data !== null && !contentHash(row.data).equals(row.content_hash))
    return 'its fields are not those it was sealed with';
  return null;
}

/** Whether money may be moved because of such a row. */
export const isGenuine = ({ kind }: SealVerdict): boolean => kind === 'sealed' || kind === 'before';

const BY_IDS = statement(`${SEALED_ROWS} where c.id = any($1::bigint[])`);

export async function findSealed(db: Db, ids: readonly string[]): Promise<Map<string, SealedRow>> {
  const { rows } = await execute<SealedRow>(db, BY_IDS, [ids]);
  return new Map((await withEpoch(db, rows)).map((row) => [row.id, row]));
}

/**
 * Whether a registered key may vouch for a row. Nobody can verify a row that is older than seals, and before the
 * contract migration the API's login could write any id. So operators decide about such a row, and no machine does.
 */
const mayBeVouchedFor = (verdict: SealVerdict, { given }: SealedRow): boolean =>
  verdict.kind === 'sealed' || (verdict.kind === 'before' && given);

/**
 * As the schema's owner, lets a registered key vouch for the genuine rows that wait or have an open case.
 * - `vouched`: the number of these rows, also of those that another key vouched for before;
 * - `held`: the number of locked rows, which wait for the next run;
 * - `others`: ids of waiting rows that no registered key vouches for, at most 100. They are not credited.
 */
export async function vouchForWaiting(
  owner: Db,
  key: string,
  trust: SealTrust,
): Promise<{ readonly vouched: number; readonly held: number; readonly others: readonly string[] }> {
  let [vouched, held] = [0, 0];
  // Ids below 1 are skipped: somebody with the API's login may have written them.
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const ids = `select w.id from engine.callback w
      where w.id in (select o.id from engine.callback o where o.outcome is null
                     union select v.callback from engine.review_case v where v.closed_at is null)
        and w.vouched_by is distinct from $1 and w.id > ${BigInt(after)} order by w.id limit ${BATCH}`;
    const found = await owner.query<SealedRow>(`${SEALED_ROWS} where c.id in (${ids}) order by c.id`, [key]);
    const rows = await withEpoch(owner, found.rows);
    const genuine = rows.filter((row) => mayBeVouchedFor(verdictOn(trust, row), row)).map(({ id }) => id);
    // The same login may hold a lock on a row, so locked rows are skipped.
    const { rowCount } = await owner.query(
      `update engine.callback c set vouched_by = $1 where c.id in (
         select w.id from engine.callback w where w.id = any($2::bigint[]) for no key update skip locked)`,
      [key, genuine],
    );
    vouched += rowCount!;
    held += genuine.length - rowCount!;
    after = rows.at(-1)?.id;
  }
  const others = await owner.query<{ id: string }>(
    `select c.id from engine.callback c
      where c.outcome is null and not exists (select from engine.seal_mac m where m.key = c.vouched_by) order by c.id limit ${NAMED}`,
  );
  return { vouched, held, others: others.rows.map(({ id }) => id) };
}

/** The engine locks a row for moments only. */
const HELD_TRIES = 10;
const HELD_PAUSE_MS = 200;

/**
 * As the schema's owner, registers a key, vouches for waiting rows, demands MACs, and vouches for rows written in
 * between. Throws `DemandHeldUp` when MACs are not demanded yet. Idempotent; a retry does the rest, so it also helps
 * where rows were held.
 */
export async function registerAndVouch(
  owner: Db,
  key: SealKey,
  trust: SealTrust,
): Promise<Awaited<ReturnType<typeof vouchForWaiting>> & { readonly isNew: boolean }> {
  const isNew = await registerSealKey(owner, key, false);
  let { vouched } = await vouchForWaiting(owner, key.id, trust);
  await demandMacs(owner);
  let last = await vouchForWaiting(owner, key.id, trust);
  for (let tries = 1; (vouched += last.vouched), last.held > 0 && tries < HELD_TRIES; tries += 1) {
    await sleep(HELD_PAUSE_MS);
    last = await vouchForWaiting(owner, key.id, trust);
  }
  return { ...last, isNew, vouched };
}

const OF_CASE = statement(
  `${SEALED_ROWS} where c.id = (select v.callback from engine.review_case v where v.workflow_id = $1)`,
);

/** Returns the row of a case; null: there is no such case. */
export async function findSealedOfCase(db: Db, workflowId: string): Promise<SealedRow | null> {
  const { rows } = await execute<SealedRow>(db, OF_CASE, [workflowId]);
  return (await withEpoch(db, rows))[0] ?? null;
}

/** Returns the rows; if one has no seal, all get the id up to which none is needed. */
async function withEpoch(db: Db, rows: SealedRow[]): Promise<SealedRow[]> {
  if (rows.every(({ seal }) => seal !== null)) return rows;
  const said = await db.query<{ epoch: string }>('select coalesce(max(callback), 0) as epoch from engine.seal_epoch');
  return rows.map((row) => ({ ...row, epoch: said.rows[0]!.epoch }));
}
