import { createHash } from 'node:crypto';
import type pg from 'pg';
import { findSealed, type SealTrust, type SealVerdict, verdictOn } from '../../providers/sealed-rows.ts';
import { PROVIDERS } from '../../providers/providers.ts';
import type { FindingKind } from '../report/findings.ts';
import type { Finding } from '../report/report.ts';
import { CALLBACK_COLUMNS, type CallbackRecord } from './rows.ts';

/**
 * Parses every stored message again, by the rules of the time when it came. Its content hash must be that of its row's
 * fields, a stamp must be bound to it, and the API's seal must be valid. `unsealed`: the number of rows from before
 * seals.
 */
export async function checkInbox(
  db: pg.ClientBase,
  trust: SealTrust,
  batch: number,
  seen: (checked: number) => void,
): Promise<{ readonly checked: number; readonly unsealed: number; readonly findings: Finding[] }> {
  const findings: Finding[] = [];
  let [checked, unsealed] = [0, 0];
  // From the lowest id, because a forged row may have any.
  for (let after: string | null = null; ; ) {
    const { rows }: pg.QueryResult<CallbackRecord> = await db.query(
      `select ${CALLBACK_COLUMNS} from engine.callback c where $1::bigint is null or c.id > $1 order by c.id limit $2`,
      [after, batch],
    );
    const sealed = await findSealed(
      db,
      rows.map(({ id }) => id),
    );
    for (const row of rows) {
      const raw_hash = createHash('sha256').update(row.raw).digest();
      const verdict = verdictOn(trust, { ...sealed.get(row.id)!, raw_hash });
      if (verdict.kind === 'before') unsealed += 1;
      findings.push(...checkCallback(row), ...faultOfSeal(row.id, verdict));
    }
    checked += rows.length;
    seen(checked);
    if (rows.length < batch) return { checked, unsealed, findings };
    after = rows.at(-1)!.id;
  }
}

function faultOfSeal(id: string, verdict: SealVerdict): Finding[] {
  const where = `callback ${id}`;
  if (verdict.kind === 'broken') return [{ kind: 'seal_broken', where, detail: verdict.fault }];
  if (verdict.kind === 'not_sealed')
    return [{ kind: 'callback_not_sealed', where, detail: 'bears no seal of the API' }];
  return [];
}

/**
 * Compares the database's seal epoch and registered keys with the settings. An attacker who raises the epoch makes
 * newer rows need no seal. One who registers a key can put rows into the inbox.
 */
export async function checkSealEpoch(
  db: pg.ClientBase,
  { epoch, publicKeys }: SealTrust,
): Promise<{ readonly since: string | null; readonly findings: Finding[] }> {
  const { rows } = await db.query<{ callback: string; since: string }>(
    `select callback, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since from engine.seal_epoch order by callback desc limit 1`,
  );
  const registered = await db.query<{ key: string }>('select key from engine.seal_mac order by key');
  const findings = registered.rows.flatMap(({ key }): Finding[] => (publicKeys.has(key) ? [] : [strangeKey(key)]));
  const [said] = rows;
  if (said === undefined || epoch === null || BigInt(said.callback) <= BigInt(epoch))
    return { since: said?.since ?? null, findings };
  const detail = `the database excuses rows up to ${said.callback} from a seal, the settings up to ${epoch}`;
  return { since: said.since, findings: [...findings, { kind: 'seal_broken', where: 'seal epoch', detail }] };
}

const strangeKey = (key: string): Finding => ({
  kind: 'seal_broken',
  where: `seal key ${key}`,
  detail:
    'is registered, and is none of INBOX_SEAL_PUBLIC_KEYS: the database takes what whoever has it puts into the inbox',
});

export function checkCallback(row: CallbackRecord): Finding[] {
  const where = `callback ${row.id}`;
  const findings: Finding[] = [];
  const find = (kind: FindingKind, detail: string) => findings.push({ kind, where, detail });
  // Others may have come with a stamp that is bound to another content, or before their order was known.
  if (row.receipt === 'first' && !row.stamped) find('callback_unknown', 'no signed stamp is bound to its content');
  if (!row.acked && row.receipt !== 'unknown_order')
    find('callback_changed', `is not acknowledged, and what was received as ${row.receipt} always is`);
  // Parking uses the column, crediting the field.
  const { externalOrderNumber, transactionCode } = row.data ?? { ...row, transactionCode: null };
  if (row.externalOrderNumber !== externalOrderNumber || row.transactionCode !== transactionCode)
    find('callback_changed', 'its order or its code is not that of its fields');
  // A row keeps the hash and the case that the rules of its time gave it.
  const read = PROVIDERS.mtpay.readings(row.raw).find(({ contentHash }) => contentHash.equals(row.contentHash));
  if (read === undefined) {
    find('callback_changed', 'its bytes do not hash to its content hash');
  } else if (!isSameData(read.readable ? read.data : null, row.data)) {
    find('callback_changed', 'its fields are not those of its bytes');
  }
  return findings;
}

function isSameData(read: CallbackRecord['data'], stands: CallbackRecord['data']): boolean {
  if (read === null || stands === null) return read === stands;
  return Object.entries(read).every(([field, value]) => stands[field as keyof typeof stands] === value);
}
