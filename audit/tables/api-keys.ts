import { createHash } from 'node:crypto';
import type { Finding } from '../report/report.ts';
import type { Db } from '../../database/pool.ts';

/** The facts of one key, from the log or from its row. `expires`, `created`: microseconds since 1970. */
interface KeyFacts {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly wallets: readonly string[] | null;
  readonly created: string;
  readonly expires: string | null;
  readonly fingerprint: string;
}

interface LogRow extends KeyFacts {
  readonly n: string;
  readonly prev: Buffer;
  readonly hash: Buffer;
  readonly event: 'before' | 'made' | 'revoked';
  readonly at: string;
}

const micros = (column: string) => `(extract(epoch from ${column}) * 1000000)::bigint::text`;
const FACTS = `k.name, k.scopes, k.wallets, ${micros('k.created_at')} as created, ${micros('k.expires_at')} as expires`;

const LOG = `select k.n::text as n, k.prev, k.hash, k.event, ${micros('k.at')} as at, k.key_id::text as id, ${FACTS}, encode(k.fingerprint, 'hex') as fingerprint from engine.key_log k order by k.n`;
const KEYS = `select k.id::text as id, ${FACTS}, encode(sha256(k.proof_hash), 'hex') as fingerprint, k.revoked_at is not null as revoked from engine.api_key k order by k.id`;

/**
 * Steps that their key cannot have taken: it names another operator, may not decide, or was not valid then. Steps from
 * before proofs name no key.
 */
const STEPS = `
  select s.id::text as id, s.operator, k.name, s.key_id::text as key
    from engine.decision s left join engine.api_key k on k.id = s.key_id
   where s.key_id is not null and (k.id is null or k.name <> s.operator or not k.scopes @> '{reviews:decide}' or s.at < k.created_at or s.at > k.revoked_at)
   order by s.id`;

/** A chain begins with the hash of its table's name. */
const START = createHash('sha256').update('engine.key_log').digest();

/** The text that a row's hash covers besides the previous hash; `engine.key_log_line` is the same in SQL. */
const lineOf = (row: LogRow): string =>
  [
    row.n,
    row.event,
    row.at,
    row.id,
    row.name,
    row.scopes.join(','),
    row.wallets === null ? '' : `w:${row.wallets.join(',')}`,
    row.created,
    row.expires ?? '',
    row.fingerprint,
  ].join('|');

/**
 * Compares API keys with the log of keys, in both directions, and verifies the log's chain. `since`: by name, when the
 * first key with the right to decide was issued; RFC 3339.
 */
export async function checkKeys(
  db: Db,
): Promise<{ readonly findings: Finding[]; readonly since: ReadonlyMap<string, string> }> {
  const findings: Finding[] = [];
  const tell = (where: string, detail: string) => findings.push({ kind: 'key_unexplained', where, detail });
  const { rows: log } = await db.query<LogRow>(LOG);
  const { rows: keys } = await db.query<KeyFacts & { revoked: boolean }>(KEYS);
  const logged = new Map<string, { facts: KeyFacts; revoked: boolean }>();
  const since = new Map<string, string>();
  let n = 0;
  let head: Buffer = START;
  for (const row of log) {
    const hash = createHash('sha256').update(row.prev).update(lineOf(row), 'utf8').digest();
    if (Number(row.n) !== n + 1) tell(`key log ${row.n}`, `follows row ${n}: what was between is gone`);
    else if (!row.prev.equals(head)) tell(`key log ${row.n}`, 'does not name the hash of the row before it');
    if (!row.hash.equals(hash)) tell(`key log ${row.n}`, 'its hash is not that of its fields');
    n = Number(row.n);
    head = row.hash;
    const before = logged.get(row.id);
    if ((row.event === 'revoked') !== (before !== undefined && !before.revoked))
      tell(`key log ${row.n}`, `${nameOf(row)} is ${row.event}, which does not follow`);
    logged.set(row.id, { facts: row, revoked: row.event === 'revoked' });
    if (row.event !== 'revoked' && row.scopes.includes('reviews:decide') && !since.has(row.name))
      since.set(row.name, new Date(Number(row.created) / 1_000).toISOString());
  }
  for (const key of keys) {
    const made = logged.get(key.id);
    logged.delete(key.id);
    if (made === undefined) tell(nameOf(key), 'is there, and was never made by the log');
    else if (textOf(key) !== textOf(made.facts))
      tell(nameOf(key), `is ${textOf(key)}, and was made as ${textOf(made.facts)}`);
    else if (key.revoked !== made.revoked)
      tell(nameOf(key), key.revoked ? 'is revoked, and the log does not say so' : 'lives, and was revoked by the log');
  }
  for (const { facts } of logged.values()) tell(nameOf(facts), 'was made by the log, and is not there');
  const { rows: steps } = await db.query<{ id: string; operator: string; name: string | null; key: string }>(STEPS);
  for (const { id, operator, name, key } of steps)
    tell(
      `decision ${id}`,
      `by ${operator}, with key K${key}, ${name === null ? 'which is not there' : `of ${name}, which could not take it`}`,
    );
  return { findings, since };
}

const nameOf = ({ id, name }: KeyFacts): string => `key K${id} of ${name}`;

/** The facts of a key for a finding; none of them can be used as a key. */
const textOf = ({ name, scopes, wallets, created, expires, fingerprint }: KeyFacts): string =>
  `${name} for ${scopes.join(', ')} on ${wallets?.join(', ') ?? 'all wallets'}, made ${created}, until ${expires ?? 'revoked'}, ${fingerprint.slice(0, 16)}`;
