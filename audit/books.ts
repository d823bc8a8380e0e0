import type pg from 'pg';
import type { FindingKind } from './findings.ts';
import type { ChainHead, Finding } from './report.ts';

/** Checks that the database can make by itself: the books, and what has no history to be compared with. */

interface SqlCheck {
  readonly kind: FindingKind;
  /** Answers `place` and `detail` of each thing that is wrong. */
  readonly sql: string;
}

/** What ledger.audit() calls its faults, as kinds of ours; each of its rows must say 0. */
const LEDGER_FAULTS: Readonly<Record<string, FindingKind>> = {
  'broken block': 'block_broken',
  'posting not in exactly one block': 'posting_unsealed',
  'unbalanced posting': 'posting_unbalanced',
  'entry differs from its posting': 'entries_differ',
  'balance differs from its entries': 'balance_differs',
  'books do not add up to zero': 'balance_differs',
  'suspense differs from its open cases': 'money_unexplained',
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
};

async function locate(db: pg.ClientBase, { fault, found }: { fault: string; found: string }): Promise<Finding[]> {
  const kind = LEDGER_FAULTS[fault] ?? 'balance_differs';
  const places = PLACES[fault];
  if (places === undefined) return [{ kind, where: 'the ledger', detail: `${fault}: ${found}` }];
  const { rows } = await db.query<{ place: string; detail: string }>(`${places} limit 1000`);
  return rows.map((row) => ({ kind, where: row.place, detail: row.detail }));
}

/** The archive's rows, each with the one before it and the hash it should have. */
const ARCHIVE = `(select a.n, a.workflow_id, a.prev, a.hash, coalesce(lag(a.n) over w, 0) as before_n, coalesce(lag(a.hash) over w, sha256('engine.archive')) as before_hash,
         sha256(a.prev || convert_to(engine.archive_line(a), 'UTF8')) as own
    from engine.archive a window w as (order by a.n))`;

/**
 * Both directions: everything that stands must be explained by a history that is audited, archived or open. Rows younger
 * than two minutes may be on their way.
 */
const UNEXPLAINED: readonly SqlCheck[] = [
  {
    kind: 'posting_unexplained',
    sql: `select 'posting ' || t.id as place, t.kind || ' of ' || t.amount || ' MTC by ' || t.workflow_id || ', of which there is no history' as detail
            from ledger.transaction t
           where not exists (select from engine.archive a where a.workflow_id = t.workflow_id)
             and not exists (select from engine.deposit d where 'deposit:' || d.external_order_number = t.workflow_id)
             and not exists (select from engine.review_case v where v.workflow_id = t.workflow_id)`,
  },
  {
    kind: 'credited_twice',
    sql: `select 'deposit:' || deposit as place, count(*) || ' automatic credits: postings ' || string_agg(id::text, ', ' order by id) as detail
            from ledger.transaction where kind = 'credit' group by deposit having count(*) > 1
          union all
          select 'transaction ' || provider_code, count(*) || ' postings of incoming money: ' || string_agg(id::text, ', ' order by id)
            from ledger.transaction where provider_code is not null group by provider, provider_code having count(*) > 1`,
  },
  {
    kind: 'credit_without_evidence',
    sql: `select 'posting ' || t.id as place, t.kind || ' of ' || t.amount || ' MTC: no callback with the code ' || t.provider_code || ' and these amounts' as detail
            from ledger.transaction t
           where t.kind in ('credit', 'suspense') and not exists (
             select from engine.callback c where c.transaction_code = t.provider_code
                and (c.data->>'transactionAmount')::numeric = t.amount and (c.data->>'paymentPrice')::numeric = t.fiat_amount
                and c.data->>'currencyCode' = t.fiat)`,
  },
  {
    kind: 'callback_without_outcome',
    sql: `select 'callback ' || id as place, 'acknowledged ' || received_at || ' for ' || external_order_number || ', and nothing came of it' as detail
            from engine.callback where acked and outcome is null and last_at < clock_timestamp() - interval '2 minutes'`,
  },
  {
    kind: 'callback_outcome_differs',
    sql: `select 'callback ' || c.id as place, 'came to ' || c.outcome || ', which is not there' as detail
            from engine.callback c
           where (c.outcome like 'posting:%' and not exists (select from ledger.transaction t where 'posting:' || t.id = c.outcome and t.provider_code = c.transaction_code))
              or (c.outcome like 'review:%' and not exists (select from engine.review_case v where 'review:' || v.workflow_id = c.outcome))`,
  },
  {
    kind: 'deposit_row_differs',
    sql: `select 'deposit:' || d.external_order_number as place, 'shown as ' || d.state || ' with posting ' || coalesce(d.posting_id::text, 'none') ||
                 coalesce(', the books hold posting ' || t.id, ', which the books do not hold') as detail
            from engine.deposit d
            left join ledger.transaction t on t.key = 'deposit:' || d.external_order_number || ':credit'
           where (d.state = 'CREDITED') <> (t.id is not null) or (t.id is not null and d.posting_id is distinct from t.id)`,
  },
  {
    kind: 'history_missing',
    sql: `select workflow_id as place, 'closed ' || closed_at || ', and not in the archive' as detail
            from engine.unarchived where lost_at is null and closed_at < clock_timestamp() - interval '2 minutes'`,
  },
  {
    kind: 'history_unexplained',
    sql: `select 'archive row ' || a.n as place, a.workflow_id || ' has no deposit and no case' as detail
            from engine.archive a
           where not exists (select from engine.deposit d where 'deposit:' || d.external_order_number = a.workflow_id)
             and not exists (select from engine.review_case v where v.workflow_id = a.workflow_id)`,
  },
  {
    kind: 'archive_row_missing',
    sql: `select 'archive row ' || n as place, 'follows row ' || before_n || ': what was between is gone' as detail
            from ARCHIVE v where n <> before_n + 1`,
  },
  {
    kind: 'archive_row_changed',
    sql: `select 'archive row ' || n as place, workflow_id || ': its hash is not that of its fields' as detail from ARCHIVE v where hash <> own`,
  },
  {
    kind: 'archive_order_broken',
    sql: `select 'archive row ' || n as place, workflow_id || ': does not name the hash of the row before it' as detail from ARCHIVE v where prev <> before_hash`,
  },
  {
    kind: 'history_lost',
    sql: `select l.workflow_id as place, 'was gone from Temporal before it was archived, noted ' || l.noted_at as detail from engine.archive_lost l`,
  },
  {
    kind: 'decided_by_one',
    sql: `select v.workflow_id as place, v.decision || ' by ' || v.decided_by || ' alone, above the limit of ' || coalesce(d.settings->>'reviewLimit', '0') as detail
            from engine.review_case v join engine.callback c on c.id = v.callback left join engine.deposit d on d.external_order_number = c.deposit
           where v.decided_by is not null and v.decided_by not like '%+%'
             and coalesce((c.data->>'transactionAmount')::numeric > coalesce(d.settings->>'reviewLimit', '0')::numeric, true)`,
  },
  {
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, 'decided ' || v.decision || ' by ' || v.decided_by || ', its posting says ' || coalesce(t.actor, 'nobody') as detail
            from engine.review_case v join ledger.transaction t on t.id = v.posting
           where t.actor is distinct from v.decided_by`,
  },
];

export async function checkTables(db: pg.ClientBase): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { kind, sql } of UNEXPLAINED) {
    const { rows } = await db.query<{ place: string; detail: string }>(sql.replace('ARCHIVE', ARCHIVE));
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
