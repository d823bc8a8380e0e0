import type { FindingKind } from '../../report/findings.ts';
import { SUSPENSE_OPEN } from '../ledger-formulas.ts';

/** One SQL statement per check; it returns `place` and `detail` of each fault. */
export interface SqlCheck {
  readonly kind: FindingKind;
  readonly sql: string;
}

/** A stored text as a number; null when it is none, so that it does not fail the audit. */
export const decimalText = (text: string): string =>
  `case when ${text} ~ '^(0|[1-9][0-9]{0,14})([.][0-9]{1,8})?$' then ${text} end`;
/** One name, or the same twice. */
const isOne = (names: string): string => `split_part(${names}, '+', 2) in ('', split_part(${names}, '+', 1))`;
const decimal = (text: string): string => `(${decimalText(text)})::numeric`;

/** When a migration was applied here; null: it was not. Younger rows were written under it. */
export const appliedAt = (file: string): string =>
  `(select m.applied_at from engine.schema_migration m where m.name = '${file}')`;

/**
 * Proposals about unreadable payments with their confirmation and the facts that both state; `differs`: why these are
 * no evidence.
 */
const STATED = `(
  select p.workflow_id, p.id as proposal, a.transaction_code, a.amount, a.currency_code, a.payment_price,
         case when p.operator = k.operator then p.operator || ' stated it twice'
              when (a.transaction_code, a.amount, a.currency_code, a.payment_price) is distinct from (b.transaction_code, b.amount, b.currency_code, b.payment_price)
              then 'the two state other facts'
              when c.data is not null then 'the callback can be read' end as differs
    from engine.decision p join engine.decision k on k.proposal = p.id and k.step = 'confirm' and k.workflow_id = p.workflow_id
    join engine.callback c on c.id = p.callback
    join engine.stated_facts a on a.decision = p.id left join engine.stated_facts b on b.decision = k.id
   where p.step = 'propose' and p.decision = 'credit')`;

/** Postings that put money into a wallet, each with the one that took it out again; null: the money is still there. */
const INTO_WALLETS = `(
  select t.id, t.deposit, t.key, t.credit_code, t.beside, t.actor, s.id as left_by
    from ledger.transaction t left join ledger.transaction s on s.origin = t.id
   where t.amount > 0 and t.credit_code like 'wallet:%')`;

/** Why one of them is not beside the newest credit of its time; null: it is. */
const BESIDE_FAULT = `case
  when b.id is null then 'which put nothing into a wallet'
  when b.deposit is distinct from t.deposit then 'which is of deposit ' || coalesce(b.deposit, 'none')
  when b.id > t.id then 'which is younger'
  when b.left_by < t.id then 'which posting ' || b.left_by || ' had taken out before'
  when exists (select from ${INTO_WALLETS} n where n.deposit = t.deposit and n.id > b.id and n.id < t.id and coalesce(n.left_by > t.id, true))
  then 'which was not the newest that stood' end`;

/** Contradictions within the tables, independent of histories. No condition uses a time that a process may write. */
export const UNEXPLAINED: readonly SqlCheck[] = [
  {
    kind: 'credited_twice',
    sql: `select 'deposit:' || deposit as place, count(*) || ' automatic credits: postings ' || string_agg(id::text, ', ' order by id) as detail
            from ledger.transaction where kind = 'credit' group by deposit having count(*) > 1
          union all
          select 'transaction ' || provider_code, count(*) || ' postings of incoming money: ' || string_agg(id::text, ', ' order by id)
            from ledger.transaction where provider_code is not null group by provider, provider_code having count(*) > 1`,
  },
  {
    // One credit, and those that two operators put beside another. Deposits with two payments from before slots are a
    // finding of their own.
    kind: 'credited_twice',
    sql: `select 'deposit:' || w.deposit as place, count(*) || ' payments stand in wallets, not beside each other: postings ' || string_agg(w.id::text, ', ' order by w.id) as detail
            from ${INTO_WALLETS} w left join ledger.double_at_migration m on m.deposit = w.deposit
           where w.left_by is null and w.beside is null group by w.deposit, m.postings
          having count(*) > 1 and not coalesce(array_agg(w.id) <@ m.postings, false)`,
  },
  {
    kind: 'double_at_migration',
    sql: `select 'deposit:' || deposit as place, 'postings ' || array_to_string(postings, ', ') || ' stood beside each other when that became a rule' as detail
            from ledger.double_at_migration`,
  },
  {
    kind: 'credited_twice',
    sql: `select 'posting ' || t.id as place, 'is beside posting ' || t.beside || ', ' || x.fault as detail
            from ledger.transaction t left join ${INTO_WALLETS} b on b.id = t.beside cross join lateral (select ${BESIDE_FAULT} as fault) x
           where t.beside is not null and x.fault is not null
          union all
          select 'posting ' || t.id, 'is beside posting ' || t.beside || ', and put nothing into a wallet'
            from ledger.transaction t where t.beside is not null and not (t.amount > 0 and t.credit_code like 'wallet:%')`,
  },
  {
    // A posting moves the amount of the posting before, from the account that this one put it into.
    kind: 'posting_differs',
    sql: `select 'posting ' || t.id as place, 'moved ' || t.amount || ' MTC from ' || x.source || ', posting ' || o.id || ' before it left ' || o.amount || ' in ' || x.place as detail
            from ledger.transaction t join ledger.transaction o on o.id = t.origin
           cross join lateral (select case when t.amount > 0 then t.debit_code else t.credit_code end::text as source,
                                      case when o.amount > 0 then o.credit_code else o.debit_code end::text as place) x
           where (x.source, abs(t.amount), t.fiat, t.fiat_amount, t.unit_price, t.provider) is distinct from (x.place, abs(o.amount), o.fiat, o.fiat_amount, o.unit_price, o.provider)
              or (t.key like 'after:%' and t.key <> 'after:' || o.id)
              or (t.kind = 'reversal' and t.deposit is distinct from o.deposit)
          union all
          select 'posting ' || t.id, 'is called ' || t.key || ', and follows no posting' from ledger.transaction t where t.key like 'after:%' and t.origin is null`,
  },
  {
    kind: 'credit_without_evidence',
    sql: `select 'posting ' || t.id as place, t.kind || ' of ' || t.amount || ' MTC: no callback with the code ' || t.provider_code || ' and these amounts' as detail
            from ledger.transaction t
           where t.kind in ('credit', 'suspense') and not exists (
             select from engine.callback c where c.transaction_code = t.provider_code
                and c.data->>'transactionAmount' = trim_scale(t.amount)::text and c.data->>'paymentPrice' = trim_scale(t.fiat_amount)::text
                and c.data->>'currencyCode' = t.fiat)
             and not exists (select from ${STATED} s where s.workflow_id = t.workflow_id and t.kind = 'suspense' and s.differs is null
                and (s.transaction_code, s.amount, s.currency_code, s.payment_price) = (t.provider_code::text, t.amount::numeric, t.fiat, t.fiat_amount::numeric))`,
  },
  {
    // An unreadable callback is credited as two operators state it, each separately; a readable one, by its content.
    kind: 'credit_without_evidence',
    sql: `select 'decision ' || f.decision as place, 'states ' || f.amount || ' MTC with the code ' || f.transaction_code || ', ' ||
                 case when c.data is not null then 'and the callback can be read' else 'with a step that credits nothing' end as detail
            from engine.stated_facts f join engine.decision d on d.id = f.decision join engine.callback c on c.id = d.callback
            left join engine.decision p on p.id = coalesce(d.proposal, d.id)
           where c.data is not null or d.step = 'withdraw' or p.decision is distinct from 'credit'`,
  },
  {
    // The seal covers the order of a message; nothing covers its routing.
    kind: 'callback_unknown',
    sql: `select 'callback ' || c.id as place, 'came for order ' || c.external_order_number || ', ' || x.fault as detail
            from engine.callback c left join engine.deposit d on d.bound_callback = c.id
           cross join lateral (select case
             when c.deposit <> c.external_order_number then 'and is kept as one of deposit ' || c.deposit
             when c.deposit is null and c.receipt = 'first' then 'and is kept as one of no deposit'
             when d.external_order_number <> c.external_order_number then 'and pays deposit ' || d.external_order_number end as fault) x
           where x.fault is not null`,
  },
  {
    // Rounded down at the eighth decimal, as domain/money.ts has it.
    kind: 'posting_differs',
    sql: `select 'posting ' || id as place, 'unit price is ' || coalesce(unit_price::text, 'none') || ', ' || fiat_amount || ' ' || fiat || ' for ' || amount || ' MTC' as detail
            from ledger.transaction where origin is null and unit_price is distinct from div(fiat_amount * 100000000, nullif(amount, 0)) * 0.00000001`,
  },
  {
    // Under another provider's name its code would be free again.
    kind: 'posting_differs',
    sql: `select 'posting ' || id as place, 'is of the provider ' || provider || ', and there is one, mtpay' as detail
            from ledger.transaction where provider <> 'mtpay'`,
  },
  {
    // The history of a case is that of the workflow that holds it: the case's own, or a later one. A deposit's case
    // doubts nothing.
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, x.fault as detail from engine.review_case v
           cross join lateral (select case
             when v.held_by <> v.workflow_id and not (starts_with(v.held_by, v.workflow_id || ':again:') and substr(v.held_by, length(v.workflow_id) + 8) ~ '^[0-9]+$')
             then 'is held by ' || v.held_by || ', which is no workflow of it'
             when v.workflow_id like 'deposit:%' and num_nonnulls(v.doubted, v.opened_by) > 0
             then 'is a deposit that doubts posting ' || coalesce(v.doubted::text, 'none') || ' for ' || coalesce(v.opened_by, 'nobody') end as fault) x
           where x.fault is not null`,
  },
  {
    // Its decisions move the money that the case itself booked.
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, 'is about posting ' || v.parked || ', which ' || coalesce('is by ' || t.workflow_id, 'the books do not hold') as detail
            from engine.review_case v left join ledger.transaction t on t.id = v.parked
           where v.parked is not null and v.closed_at is null and t.workflow_id is distinct from v.workflow_id`,
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
    // The outcome is the machine's credit of the deposit that binds the callback, or one case. A case of doubt is about
    // that outcome and is none itself; postings of a case belong to the case.
    kind: 'callback_with_two_outcomes',
    sql: `select 'callback ' || callback as place, 'came to ' || string_agg(what, ' and ' order by what) as detail
            from (select d.bound_callback as callback, 'posting ' || t.id as what
                    from engine.deposit d join ledger.transaction t on t.deposit = d.external_order_number and t.kind = 'credit'
                   where d.bound_callback is not null
                  union
                  select v.callback, 'case ' || v.workflow_id from engine.review_case v where v.doubted is null and v.workflow_id not like '%:reversal:%'
                  union
                  select c.id, replace(c.outcome, 'posting:', 'posting ') from engine.callback c where c.outcome like 'posting:%') o
           group by callback having count(*) > 1
          union all
          select 'callback ' || v.callback, 'is decided about in ' || string_agg(v.workflow_id, ' and in ' order by v.workflow_id)
            from engine.review_case v where v.closed_at is null group by v.callback having count(*) > 1`,
  },
  {
    // A credited deposit has a posting into its own wallet. A machine's credit has the deposit's own key, and so has an
    // older credit by decision.
    kind: 'deposit_row_differs',
    sql: `select 'deposit:' || d.external_order_number as place, 'shown as ' || d.state || ' with posting ' || coalesce(d.posting_id::text, 'none') || ', ' || x.fault as detail
            from engine.deposit d
            left join ledger.transaction t on t.id = d.posting_id
            left join ledger.transaction k on k.key = 'deposit:' || d.external_order_number || ':credit'
           cross join lateral (select case
             when d.posting_id is not null and t.id is null then 'which the books do not hold'
             when k.id is not null and k.id is distinct from d.posting_id then 'the books hold posting ' || k.id
             when (d.state = 'CREDITED') <> (d.posting_id is not null) then 'and has ' || case when t.id is null then 'none' else 'one' end
             when (t.deposit, t.credit_code) is distinct from (d.external_order_number, 'wallet:' || d.wallet) or t.amount < 0
             then 'which put nothing into its wallet ' || d.wallet
             when d.bound_callback is null then 'and no callback is bound to it' end as fault) x
           where x.fault is not null and (d.posting_id is not null or k.id is not null or d.state = 'CREDITED')
          union all
          select 'deposit:' || d.external_order_number, 'settled by ' || coalesce(d.settled_by, 'nobody') || coalesce(', told ' || d.told_at, '') || '; no such case credited its callback ' || coalesce(d.bound_callback::text, 'none')
            from engine.deposit d
            left join engine.callback c on c.id = d.bound_callback
           where (coalesce(d.settled_by, d.told_at::text) is not null or c.receipt <> 'first') and not exists (
             select from engine.review_case v
              where v.workflow_id = d.settled_by and v.callback = d.bound_callback and v.posting = d.posting_id and v.decision = 'credit' and v.doubted is null)
          union all
          select 'deposit:' || d.external_order_number, 'people credited posting ' || d.posting_id || ', and decided about its own callback ' || d.bound_callback || ' in no case'
            from engine.deposit d join ledger.transaction t on t.id = d.posting_id
           where t.kind <> 'credit' and not exists (
             select from engine.review_case v where v.callback = d.bound_callback and v.doubted is null and v.closed_at is not null)
          union all
          select 'deposit:' || d.external_order_number, 'shown as ' || d.state || ', and ' || v.workflow_id || ' credited its payment with posting ' || t.id
            from engine.review_case v join engine.callback c on c.id = v.callback
            join ledger.transaction t on t.id = v.posting and t.deposit = c.external_order_number
            join engine.deposit d on d.external_order_number = c.external_order_number
           where v.decision = 'credit' and v.doubted is null and t.key like 'after:%' and d.bound_callback is null
             and d.state not in ('CREDITED', 'REJECTED', 'UNPAID', 'PLACEMENT_REFUSED')`,
  },
  {
    // A final state is written with its time, and a decision has its own case.
    kind: 'deposit_row_differs',
    sql: `select 'deposit:' || d.external_order_number as place, 'shown as ' || d.state || ', ' || x.fault as detail
            from engine.deposit d
           cross join lateral (select case
             when (d.state in ('CREDITED', 'REJECTED', 'UNPAID', 'PLACEMENT_REFUSED')) <> (d.closed_at is not null)
             then coalesce('and closed ' || d.closed_at, 'and not closed')
             when d.state = 'IN_REVIEW' and not exists (select from engine.review_case v where v.workflow_id = 'deposit:' || d.external_order_number)
             then 'and there is no case of it' end as fault) x
           where x.fault is not null`,
  },
  {
    // The deposit, its case and the message have the same reason. Cases from before the table of cases have none.
    kind: 'decision_unrecorded',
    sql: `select coalesce(v.workflow_id, 'deposit:' || d.external_order_number) as place, 'is for people as ' || coalesce(v.reason, 'none') || ', the deposit says ' || coalesce(d.review_reason, 'none') as detail
            from engine.deposit d full join (select * from engine.review_case where workflow_id like 'deposit:%') v on v.workflow_id = 'deposit:' || d.external_order_number
           where d.external_order_number is not null and v.reason is distinct from d.review_reason and not (d.review_reason is null and v.reason = 'IN_REVIEW')
          union all
          select v.workflow_id, 'is for people as ' || v.reason || ', “' || left(v.detail, 300) || '”; its callback says ' || coalesce(c.review_reason, 'nothing')
            from engine.review_case v join engine.callback c on c.id = v.callback
           where v.workflow_id not like all ('{deposit:%,%:reversal:%}') and v.reason <> 'IN_REVIEW'
             and (v.reason <> coalesce(c.review_reason, 'WORKFLOW_GONE') or convert_to(v.detail, 'UTF8') <> case when c.receipt = 'restored' then c.raw else '' end)`,
  },
  {
    // A restored row is written by the process that records the restore first.
    kind: 'callback_unknown',
    sql: `select 'callback ' || c.id as place, 'was written for a case that a restore has lost, and no restore is on record' as detail
            from engine.callback c where c.receipt = 'restored' and c.review_reason = 'CASE_RESTORED' and not exists (select from engine.restored)`,
  },
  {
    // Every row since uids has one, and every step since proofs has one.
    kind: 'decision_unrecorded',
    sql: `select 'decision ' || s.id as place, x.fault as detail from engine.decision s
           cross join lateral (select case
             when s.step = 'confirm' and s.reason is not null then 'gives a reason for a confirmation, which nobody is asked for: ' || left(s.reason, 300)
             when s.uid is null and s.at > ${appliedAt('011-standing.sql')} then 'has no name of its own, and is from after each had one'
             when s.key_id is null and s.at > ${appliedAt('021-contract.sql')} then 'names no key, and is from after each took one' end as fault) x
           where x.fault is not null
          union all
          select 'decision ' || s.id, 'is about callback ' || s.callback || ', ' || coalesce('its case about callback ' || v.callback, 'and its case ' || s.workflow_id || ' is not there')
            from engine.decision s left join engine.review_case v on v.workflow_id = s.workflow_id where v.callback is distinct from s.callback
          union all
          select 'decision ' || v.proposal, 'is shown to wait in ' || v.workflow_id || ', which was closed by another step that is written down'
            from engine.review_case v where v.closed_at is not null and v.proposal is not null and exists (
              select from engine.carried r join engine.decision p on p.id = r.proposal where p.workflow_id = v.workflow_id and r.outcome = 'decided')
          union all
          select 'callback ' || c.id, 'has no name of its own, and is from after each had one'
            from engine.callback c where c.uid is null and c.received_at > ${appliedAt('011-standing.sql')}`,
  },
  {
    kind: 'deposit_unexplained',
    sql: `select v.workflow_id as place, 'is the case of a deposit that is not there' as detail
            from engine.review_case v where v.workflow_id like 'deposit:%'
             and not exists (select from engine.deposit d where 'deposit:' || d.external_order_number = v.workflow_id)`,
  },
  {
    kind: 'history_unexplained',
    sql: `select 'archive row ' || a.n as place, a.workflow_id || ' has no deposit and no case' as detail
            from engine.archive a
           where not exists (select from engine.deposit d where 'deposit:' || d.external_order_number = a.workflow_id)
             and not exists (select from engine.review_case v where v.workflow_id = regexp_replace(a.workflow_id, ':again:[0-9]+$', '')
                                and (v.workflow_id = a.workflow_id or v.held_by is not null))`,
  },
  {
    kind: 'history_lost',
    sql: `select l.workflow_id as place, 'was gone from Temporal before it was archived, noted ' || l.noted_at as detail from engine.archive_lost l`,
  },
  {
    kind: 'decided_by_one',
    sql: `select v.workflow_id as place, v.decision || ' by ' || v.decided_by || ' alone, above the limit of ' || coalesce(d.settings->>'reviewLimit', '0') as detail
            from engine.review_case v join engine.callback c on c.id = v.callback left join engine.deposit d on d.external_order_number = c.deposit
           where v.decided_by is not null and ${isOne('v.decided_by')}
             and coalesce(${decimal(`c.data->>'transactionAmount'`)} > coalesce(${decimal(`d.settings->>'reviewLimit'`)}, 0), true)
          union all
          select 'posting ' || t.id, 'by ' || coalesce(t.actor, 'nobody') || ' alone, beside posting ' || t.beside
            from ledger.transaction t where t.beside is not null and coalesce(${isOne('t.actor')}, true)
          union all
          select 'decision ' || p.id, p.operator || ' proposed and confirmed ' ||
                 case when p.beside is null then 'what cannot be read, as stated' else 'a credit beside posting ' || p.beside end
            from engine.carried r join engine.decision p on p.id = r.proposal join engine.decision k on k.id = r.confirmation
           where r.outcome <> 'refused' and p.operator = k.operator
             and (p.beside is not null or exists (select from engine.stated_facts f where f.decision in (p.id, k.id)))`,
  },
  {
    kind: 'credit_without_evidence',
    sql: `select 'decision ' || s.proposal as place, 'carried out, and ' || s.differs as detail
            from ${STATED} s join engine.carried r on r.proposal = s.proposal
            join engine.decision k on k.id = r.confirmation and k.proposal = s.proposal
           where r.outcome <> 'refused' and s.differs is not null`,
  },
  {
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, 'decided ' || v.decision || ' by ' || v.decided_by || ', its posting says ' || coalesce(t.actor, 'nobody') as detail
            from engine.review_case v join ledger.transaction t on t.id = v.posting
           where t.actor is distinct from v.decided_by`,
  },
  {
    // The result of a proposal against its two steps, its posting and, once closed, its case.
    kind: 'decision_unrecorded',
    sql: `select 'decision ' || r.proposal as place, 'came to ' || r.outcome || ', ' || x.fault as detail
            from engine.carried r
            left join engine.decision p on p.id = r.proposal
            left join engine.decision k on k.id = r.confirmation
            left join engine.review_case v on v.workflow_id = p.workflow_id
            left join ledger.transaction t on t.id = r.posting
           cross join lateral (select case
             when p.step is distinct from 'propose' then 'and is no proposal'
             when k.step is distinct from 'confirm' or k.proposal <> p.id or k.workflow_id <> p.workflow_id then 'and decision ' || r.confirmation || ' does not confirm it'
             when exists (select from engine.refused_step n where n.decision in (p.id, k.id)) then 'and one of its steps is written down as refused'
             when r.answer->>'kind' is distinct from r.outcome then 'and its case was told ' || coalesce(r.answer->>'kind', 'nothing')
             when (r.answer->>'postingId') is distinct from r.posting::text then 'with posting ' || coalesce(r.posting::text, 'none') || ', and its case was told ' || coalesce(r.answer->>'postingId', 'none')
             when r.posting is not null and t.id is null then 'with posting ' || r.posting || ', which the books do not hold'
             when (t.workflow_id, t.actor, t.reason) is distinct from (v.workflow_id, r.answer->>'decidedBy', p.reason) and t.id is not null
             then 'and posting ' || t.id || ' is by ' || coalesce(t.actor, 'nobody') || ' for ' || t.workflow_id
             when t.beside is distinct from p.beside and t.id is not null then 'and posting ' || t.id || ' is not beside what was proposed'
             when r.outcome <> 'refused' and r.answer->>'decidedBy' is distinct from concat_ws('+', p.operator, nullif(k.operator, p.operator)) then 'decided by ' || coalesce(r.answer->>'decidedBy', 'nobody')
             when r.outcome = 'decided' and (v.decision, v.decided_by, v.posting) is distinct from (r.answer->>'decision', r.answer->>'decidedBy', r.posting)
             then 'and its case is shown as ' || coalesce(v.decision, 'open') || ' by ' || coalesce(v.decided_by, 'nobody')
             when r.outcome = 'decided' and p.decision <> v.decision then 'and ' || p.decision || ' was proposed' end as fault) x
           where x.fault is not null
          union all
          select 'posting ' || t.id, t.key || ' by ' || coalesce(t.actor, 'nobody') || ', and no proposal is written down to have come to it'
            from ledger.transaction t where t.key like 'after:%' and not exists (select from engine.carried r where r.posting = t.id)
          union all
          select v.workflow_id, 'closed with posting ' || v.posting || ', and no proposal is written down to have closed it'
            from engine.review_case v join ledger.transaction t on t.id = v.posting
           where t.key like 'after:%' and not exists (
             select from engine.carried r join engine.decision p on p.id = r.proposal where p.workflow_id = v.workflow_id and r.outcome = 'decided')
          union all
          select p.workflow_id, count(*) || ' proposals are written down to have closed it: ' || string_agg(p.id::text, ', ' order by p.id)
            from engine.carried r join engine.decision p on p.id = r.proposal where r.outcome = 'decided' group by p.workflow_id having count(*) > 1`,
  },
  {
    kind: 'decision_unrecorded',
    sql: `select v.workflow_id as place, 'about posting ' || v.doubted || ', which ' ||
                 case when t.id is null then 'the books do not hold' else 'posting ' || s.id || ' had followed before, ' || s.posted_at end as detail
            from engine.review_case v left join ledger.transaction t on t.id = v.doubted left join ledger.transaction s on s.origin = v.doubted
           where v.doubted is not null and (t.id is null or (s.key like 'after:%' and s.posted_at < v.opened_at - interval '1 minute'))`,
  },
  {
    // The case of the money is found by the callback that brought it.
    kind: 'money_unexplained',
    sql: `select 'posting ' || o.id as place, o.amount || ' MTC wait in suspense, and no case about them is open' as detail
            from ${SUSPENSE_OPEN} o
            -- The rest of a payment whose ordered part lies in a wallet is owned by that posting.
            join ledger.transaction p on p.id = o.id and (p.rest is null or p.amount < 0)
            join ledger.transaction r on r.id = coalesce((select l.root from ledger.lineage l where l.transaction_id = o.id), o.id)
           where not exists (
             select from engine.review_case v where v.closed_at is null and v.callback in (
               select w.callback from engine.review_case w where w.workflow_id = r.workflow_id
               union all select d.bound_callback from engine.deposit d where 'deposit:' || d.external_order_number = r.workflow_id))`,
  },
];
