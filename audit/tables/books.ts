import { createHash } from 'node:crypto';
import type pg from 'pg';
import { EMPTY_CHAIN } from '../../archive/chain.ts';
import type { FindingKind } from '../report/findings.ts';
import { ARCHIVE_LINES, BLOCKS, LEGS, NEWEST_STANDING, SUSPENSE_OPEN, TRIAL_BALANCE } from './ledger-formulas.ts';
import type { ReportChainHead, Finding } from '../report/report.ts';
import { type SqlCheck, UNEXPLAINED } from './checks/table-checks.ts';
import { TIMES } from './times.ts';
import { ATTEMPTS } from './checks/attempt-checks.ts';
import { DELIVERIES } from './checks/delivery-checks.ts';
import { EVENTS } from './checks/event-checks.ts';

/** Checks of the ledger and of both chains, and of rows without a history. */

/** Maximum number of named items of one kind. */
const NAMED = 1_000;
const PAGE = 2_000;

/** Each names the postings, entries, accounts that are wrong. */
const LEDGER: readonly SqlCheck[] = [
  {
    kind: 'posting_unsealed',
    sql: `
    select coalesce('posting ' || m.id, 'posting ' || t.id) as place,
           case when t.id is null then 'a block holds it, the books do not' else 'no block holds it, or more than one' end as detail
      from (select id, count(*) as n from (select unnest(members) as id from ledger.block) x group by id) m
      full join ledger.transaction t on t.id = m.id where m.id is null or t.id is null or m.n <> 1`,
  },
  {
    kind: 'posting_unbalanced',
    sql: `
    select 'posting ' || transaction_id as place, 'its entries add up to ' || sum(amount) as detail
      from ledger.entry group by transaction_id having sum(amount) <> 0`,
  },
  {
    kind: 'entries_differ',
    sql: `
    select 'posting ' || coalesce(w.id, h.id) as place,
           'line ' || coalesce(w.line, h.line) || ' should be ' || coalesce(w.code || ' ' || w.amount, 'nothing') || ' and is ' || coalesce(h.code || ' ' || h.amount, 'nothing') as detail
      from (select t.id, l.line, l.code, l.amount from ledger.transaction t cross join lateral ${LEGS} where l.amount <> 0) w
      full join (select e.transaction_id as id, e.line::int as line, a.code, e.amount from ledger.entry e join ledger.account a on a.id = e.account_id) h using (id, line)
     where (w.code, w.amount) is distinct from (h.code::text, h.amount::numeric)`,
  },
  {
    kind: 'balance_differs',
    sql: `
    select 'account ' || code as place, 'kept ' || kept || ' in ' || kept_entries || ' entries, summed ' || summed || ' in ' || entries as detail
      from ${TRIAL_BALANCE} b where kept <> summed or kept_entries <> entries`,
  },
  {
    kind: 'balance_differs',
    sql: `
    select 'asset ' || asset as place, 'the balances add up to ' || sum(kept) as detail from ${TRIAL_BALANCE} b group by asset having sum(kept) <> 0`,
  },
  {
    kind: 'money_unexplained',
    sql: `
    select 'account ' || code as place, 'holds ' || -kept || ', which is not what its open cases add up to' as detail
      from ${TRIAL_BALANCE} b where code like 'suspense:%'
       and -kept <> coalesce((select sum(o.amount) from ${SUSPENSE_OPEN} o where 'suspense:' || o.provider = b.code), 0)`,
  },
  {
    kind: 'slot_differs',
    sql: `
    select 'deposit:' || coalesce(w.deposit, s.deposit) as place,
           'the slot is ' || coalesce('taken by ' || s.key, 'free') || ', ' || coalesce(w.key || ' is the newest that stands', 'nothing stands') as detail
      from ${NEWEST_STANDING} w full join ledger.slot s on s.deposit = w.deposit where w.key is distinct from s.key`,
  },
  {
    kind: 'lineage_differs',
    sql: `
    with recursive chain as (
      select t.id, t.id as root from ledger.transaction t
       where t.origin is null and exists (select from ledger.transaction s where s.origin = t.id)
      union all
      select t.id, c.root from chain c join ledger.transaction t on t.origin = c.id)
    select 'posting ' || coalesce(w.id, l.transaction_id) as place,
           'begins with posting ' || coalesce(w.root::text, 'none') || ', the lineage says ' || coalesce(l.root::text, 'none') as detail
      from (select id, root from chain where id <> root) w
      full join ledger.lineage l on l.transaction_id = w.id where w.root is distinct from l.root`,
  },
];

export async function checkLedger(db: pg.ClientBase): Promise<Finding[]> {
  const found = await checkBlocks(db);
  for (const { kind, sql } of LEDGER) found.push(...(await findings(db, kind, `${sql} limit ${NAMED}`)));
  return found;
}

async function findings(db: pg.ClientBase, kind: FindingKind, sql: string): Promise<Finding[]> {
  const { rows } = await db.query<{ place: string; detail: string }>(sql);
  return rows.map((row) => ({ kind, where: row.place, detail: row.detail }));
}

interface Block {
  readonly n: string;
  readonly prev: Buffer;
  readonly hash: Buffer;
  readonly atUs: string;
  /** Null: none of its postings exists. */
  readonly lines: string | null;
}

/**
 * Verifies the chain of blocks, hashed in this process. A chain cannot show that its end was cut off:
 * {@link checkHeads}.
 */
async function checkBlocks(db: pg.ClientBase): Promise<Finding[]> {
  const found: Finding[] = [];
  let before: Block | null = null;
  for (let rows: Block[] = []; ; ) {
    ({ rows } = await db.query<Block>(BLOCKS, [before?.n ?? null, PAGE]));
    for (const block of rows) {
      if (!follows(block, before) && found.length < NAMED) found.push(broken(block.n));
      before = block;
    }
    if (rows.length < PAGE) return before === null ? [broken('0')] : found;
  }
}

const broken = (n: string): Finding => ({
  kind: 'block_broken',
  where: `block ${n}`,
  detail: 'its hash does not follow from its postings and the block before',
});

const GENESIS = sha256('genesis');

function follows(block: Block, before: Block | null): boolean {
  if (before === null) return block.n === '0' && block.prev.length === 0 && block.hash.equals(GENESIS);
  if (block.lines === null || BigInt(block.n) !== BigInt(before.n) + 1n || !block.prev.equals(before.hash))
    return false;
  return sha256(block.prev, int8(block.n), int8(block.atUs), sha256(block.lines)).equals(block.hash);
}

function sha256(...parts: readonly (string | Buffer)[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function int8(n: string): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(n));
  return bytes;
}

interface ArchiveLine {
  readonly n: number;
  readonly workflowId: string;
  readonly prev: Buffer;
  readonly hash: Buffer;
  readonly line: string;
}

/** Verifies the chain of the archive, hashed in this process. */
async function checkArchiveChain(db: pg.ClientBase): Promise<Finding[]> {
  const found: Finding[] = [];
  const find = (kind: FindingKind, n: number, detail: string) =>
    found.length < NAMED && found.push({ kind, where: `archive row ${n}`, detail });
  for (let before: Pick<ArchiveLine, 'n' | 'hash'> = EMPTY_CHAIN; ; ) {
    const { rows } = await db.query<ArchiveLine>(ARCHIVE_LINES, [before === EMPTY_CHAIN ? null : before.n, PAGE]);
    for (const row of rows) {
      if (row.n !== before.n + 1)
        find('archive_row_missing', row.n, `follows row ${before.n}: what was between is gone`);
      if (!row.prev.equals(before.hash))
        find('archive_order_broken', row.n, `${row.workflowId}: does not name the hash of the row before it`);
      if (!sha256(row.prev, row.line).equals(row.hash))
        find('archive_row_changed', row.n, `${row.workflowId}: its hash is not that of its fields`);
      before = row;
    }
    if (rows.length < PAGE) return found;
  }
}

export async function checkTables(db: pg.ClientBase): Promise<Finding[]> {
  const found = await checkArchiveChain(db);
  for (const { kind, sql } of [...UNEXPLAINED, ...ATTEMPTS, ...EVENTS, ...DELIVERIES, ...TIMES])
    found.push(...(await findings(db, kind, sql)));
  return found;
}

/** Checks that each chain still contains the head of an earlier report. */
export async function checkHeads(
  db: pg.ClientBase,
  seen: { readonly ledger: ReportChainHead | null; readonly archive: ReportChainHead | null },
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [name, head, sql] of [
    ['ledger', seen.ledger, `select encode(hash, 'hex') as hash from ledger.block where n = $1`],
    ['archive', seen.archive, `select encode(hash, 'hex') as hash from engine.archive where n = $1`],
  ] as const) {
    if (head === null) continue;
    const { rows } = await db.query<{ hash: string }>(sql, [head.n]);
    if (rows[0]?.hash === head.hash) continue;
    const stands = rows[0]?.hash ?? 'nothing';
    found.push({
      kind: 'chain_cut',
      where: `${name} ${head.n}`,
      detail: `was ${head.hash} in the earlier report, and is ${stands}`,
    });
  }
  return found;
}
