import type pg from 'pg';
import type { FindingKind } from './findings.ts';
import type { ChainHead, Finding } from './report.ts';
import { UNEXPLAINED } from './table-checks.ts';
import { TIMES } from './times.ts';
import { TOLD } from './told-checks.ts';

/** Checks that the database can make by itself: the books, and what has no history to be compared with. */

/** What ledger.audit() calls its faults, as kinds of ours; each of its rows must say 0. */
const LEDGER_FAULTS: Readonly<Record<string, FindingKind>> = {
  'broken block': 'block_broken',
  'posting not in exactly one block': 'posting_unsealed',
  'unbalanced posting': 'posting_unbalanced',
  'entry differs from its posting': 'entries_differ',
  'balance differs from its entries': 'balance_differs',
  'books do not add up to zero': 'balance_differs',
  'suspense differs from its open cases': 'money_unexplained',
  'slot differs from what stands in wallets': 'slot_differs',
  'lineage differs from its origins': 'lineage_differs',
};

export async function checkLedger(db: pg.ClientBase): Promise<Finding[]> {
  const { rows } = await db.query<{ fault: string; found: string }>('select fault, found from ledger.audit()');
  const faults = rows.filter((row) => row.found !== '0');
  const located: Finding[] = [];
  for (const fault of faults) located.push(...(await locate(db, fault)));
  return located;
}

/** Which postings, entries, accounts or blocks it is. */
const PLACES: Readonly<Record<string, string>> = {
  'broken block': `select 'block ' || n as place, 'its hash does not follow from its postings and the block before' as detail from ledger.verify_chain() where not ok`,
  'posting not in exactly one block': `
    select coalesce('posting ' || m.id, 'posting ' || t.id) as place,
           case when t.id is null then 'a block holds it, the books do not' else 'no block holds it, or more than one' end as detail
      from (select id, count(*) as n from (select unnest(members) as id from ledger.block) x group by id) m
      full join ledger.transaction t on t.id = m.id where m.id is null or t.id is null or m.n <> 1`,
  'unbalanced posting': `
    select 'posting ' || transaction_id as place, 'its entries add up to ' || sum(amount) as detail
      from ledger.entry group by transaction_id having sum(amount) <> 0`,
  'entry differs from its posting': `
    select 'posting ' || coalesce(w.id, h.id) as place,
           'line ' || coalesce(w.line, h.line) || ' should be ' || coalesce(w.code || ' ' || w.amount, 'nothing') || ' and is ' || coalesce(h.code || ' ' || h.amount, 'nothing') as detail
      from (select t.id, l.line, l.code, l.amount from ledger.transaction t cross join lateral ledger.legs(t) l) w
      full join (select e.transaction_id as id, e.line, a.code, e.amount from ledger.entry e join ledger.account a on a.id = e.account_id) h using (id, line)
     where (w.code, w.amount) is distinct from (h.code::text, h.amount::numeric)`,
  'balance differs from its entries': `
    select 'account ' || code as place, 'kept ' || kept || ' in ' || kept_entries || ' entries, summed ' || summed || ' in ' || entries as detail
      from ledger.trial_balance where kept <> summed or kept_entries <> entries`,
  'books do not add up to zero': `
    select 'asset ' || asset as place, 'the balances add up to ' || sum(kept) as detail from ledger.trial_balance group by asset having sum(kept) <> 0`,
  'suspense differs from its open cases': `
    select 'account ' || code as place, 'holds ' || -kept || ', which is not what its open cases add up to' as detail
      from ledger.trial_balance b where code like 'suspense:%'
       and -kept <> coalesce((select sum(o.amount) from ledger.suspense_open o where 'suspense:' || o.provider = b.code), 0)`,
  'slot differs from what stands in wallets': `
    select 'deposit:' || coalesce(w.deposit, s.deposit) as place,
           'the slot is ' || coalesce('taken by ' || s.key, 'free') || ', ' || coalesce(w.key || ' is the newest that stands', 'nothing stands') as detail
      from (select t.deposit, (array_agg(t.key order by t.id desc))[1] as key from ledger.transaction t
             where t.deposit is not null and t.amount > 0 and t.credit_code like 'wallet:%'
               and not exists (select from ledger.transaction n where n.origin = t.id) group by t.deposit) w
      full join ledger.slot s on s.deposit = w.deposit where w.key is distinct from s.key`,
  'lineage differs from its origins': `
    with recursive chain as (
      select t.id, t.id as root from ledger.transaction t
       where t.origin is null and exists (select from ledger.transaction s where s.origin = t.id)
      union all
      select t.id, c.root from chain c join ledger.transaction t on t.origin = c.id)
    select 'posting ' || coalesce(w.id, l.transaction_id) as place,
           'begins with posting ' || coalesce(w.root::text, 'none') || ', the lineage says ' || coalesce(l.root::text, 'none') as detail
      from (select id, root from chain where id <> root) w
      full join ledger.lineage l on l.transaction_id = w.id where w.root is distinct from l.root`,
};

async function locate(db: pg.ClientBase, { fault, found }: { fault: string; found: string }): Promise<Finding[]> {
  const kind = LEDGER_FAULTS[fault] ?? 'balance_differs';
  const places = PLACES[fault];
  if (places === undefined) return [{ kind, where: 'the ledger', detail: `${fault}: ${found}` }];
  const { rows } = await db.query<{ place: string; detail: string }>(`${places} limit 1000`);
  return rows.map((row) => ({ kind, where: row.place, detail: row.detail }));
}

export async function checkTables(db: pg.ClientBase): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { kind, sql } of [...UNEXPLAINED, ...TOLD, ...TIMES]) {
    const { rows } = await db.query<{ place: string; detail: string }>(sql);
    found.push(...rows.map((row) => ({ kind, where: row.place, detail: row.detail })));
  }
  return found;
}

/** Heads that were seen before, in a report: each chain has to pass through them still. */
export async function checkHeads(
  db: pg.ClientBase,
  seen: { readonly ledger: ChainHead | null; readonly archive: ChainHead | null },
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
