import type { FindingKind } from './findings.ts';

/** One statement each about what stands in the tables; it answers `place` and `detail` of each thing that is wrong. */
export interface SqlCheck {
  readonly kind: FindingKind;
  readonly sql: string;
}

/** A kept text that is to be a number, as it is; null when it is none, which must not end the audit. */
export const decimalText = (text: string): string =>
  `case when ${text} ~ '^(0|[1-9][0-9]{0,14})([.][0-9]{1,8})?$' then ${text} end`;
const decimal = (text: string): string => `(${decimalText(text)})::numeric`;

/** The archive's rows, each with the one before it and the hash it should have. */
const ARCHIVE = `(select a.n, a.workflow_id, a.prev, a.hash, coalesce(lag(a.n) over w, 0) as before_n, coalesce(lag(a.hash) over w, sha256('engine.archive')) as before_hash,
         sha256(a.prev || convert_to(engine.archive_line(a), 'UTF8')) as own
    from engine.archive a window w as (order by a.n))`;

/**
 * Both directions: everything that stands must be explained by a history that is audited, archived or open. Rows younger
 * than two minutes may be on their way.
 */
export const UNEXPLAINED: readonly SqlCheck[] = [
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
                and c.data->>'transactionAmount' = trim_scale(t.amount)::text and c.data->>'paymentPrice' = trim_scale(t.fiat_amount)::text
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
            left join ledger.transaction t on c.outcome = 'posting:' || t.id and t.provider_code = c.transaction_code and t.deposit = c.deposit
            left join engine.review_case v on c.outcome = 'review:' || v.workflow_id and v.callback = c.id
           where c.outcome is not null and t.id is null and v.workflow_id is null`,
  },
  {
    // The machine's credit of the deposit that the callback is bound to; or one case. A case of doubt is about the credit
    // and no outcome of its own; what a case moves, and moves back, is the case's.
    kind: 'callback_with_two_outcomes',
    sql: `select 'callback ' || callback as place, 'came to ' || string_agg(what, ' and ' order by what) as detail
            from (select d.bound_callback as callback, 'posting ' || t.id as what
                    from engine.deposit d join ledger.transaction t on t.deposit = d.external_order_number and t.kind = 'credit'
                   where d.bound_callback is not null
                  union
                  select v.callback, 'case ' || v.workflow_id from engine.review_case v where v.doubted is null
                  union
                  select c.id, replace(c.outcome, 'posting:', 'posting ') from engine.callback c where c.outcome like 'posting:%') o
           group by callback having count(*) > 1
          union all
          select 'callback ' || v.callback, 'is decided about in ' || string_agg(v.workflow_id, ' and in ' order by v.workflow_id)
            from engine.review_case v where v.closed_at is null group by v.callback having count(*) > 1`,
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
            from ${ARCHIVE} v where n <> before_n + 1`,
  },
  {
    kind: 'archive_row_changed',
    sql: `select 'archive row ' || n as place, workflow_id || ': its hash is not that of its fields' as detail from ${ARCHIVE} v where hash <> own`,
  },
  {
    kind: 'archive_order_broken',
    sql: `select 'archive row ' || n as place, workflow_id || ': does not name the hash of the row before it' as detail from ${ARCHIVE} v where prev <> before_hash`,
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
             and coalesce(${decimal(`c.data->>'transactionAmount'`)} > coalesce(${decimal(`d.settings->>'reviewLimit'`)}, 0), true)`,
  },
  {
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, 'decided ' || v.decision || ' by ' || v.decided_by || ', its posting says ' || coalesce(t.actor, 'nobody') as detail
            from engine.review_case v join ledger.transaction t on t.id = v.posting
           where t.actor is distinct from v.decided_by`,
  },
];
