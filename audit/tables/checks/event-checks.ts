import { shownTransitions } from '../../../domain/deposit.ts';
import { appliedAt, type SqlCheck } from './table-checks.ts';

/**
 * Events (docs/reference/events.md), compared with the effects that they tell of, in both directions: every effect is
 * told once, and nothing else is. What happened before events were written has none.
 */

const BEGAN = appliedAt('041-events.sql');
const place = `'event evt_' || e.subject || '_' || e.sequence`;

/** The states that an event tells, by its type. */
const STATE_OF: Readonly<Record<string, string>> = {
  'deposit.placed': 'AWAITING_PAYMENT',
  'deposit.refused': 'PLACEMENT_REFUSED',
  'deposit.unknown': 'PLACEMENT_UNKNOWN',
  'deposit.expired': 'EXPIRED',
  'deposit.credited': 'CREDITED',
  'deposit.settled': 'CREDITED',
  'deposit.in_review': 'IN_REVIEW',
  'deposit.rejected': 'REJECTED',
  'deposit.unpaid': 'UNPAID',
};
const states = (alias: string): string =>
  `(values ${Object.entries(STATE_OF)
    .map(([type, state]) => `('${type}', '${state}')`)
    .join(', ')}) ${alias}(type, state)`;
const STEPS = `(${Array.from(shownTransitions(), (pair) => `'${pair}'`).join(', ')})`;

/** The fields of `data` beside those of the deposit, by the type. */
const BESIDE: Readonly<Record<string, string>> = {
  'deposit.placed': 'advertisementCode expiresAt listeningUntil',
  'deposit.refused': 'closedAt refusal',
  'deposit.unknown': 'listeningUntil',
  'deposit.expired': 'listeningUntil',
  'deposit.credited': 'amount creditedAt paidPrice postingId transactionCode',
  'deposit.settled': 'closedAt postingId',
  'deposit.in_review': 'case reason',
  'deposit.rejected': 'case closedAt',
  'deposit.unpaid': 'closedAt',
  'deposit.reversed': 'amount kept of postingId transactionCode',
  'deposit.restored': 'amount creditedAt paidPrice postingId transactionCode',
  'deposit.payment_added': 'amount creditedAt paidPrice postingId transactionCode',
  'case.opened': 'case reason',
  'case.decided': 'case decision postingId',
  'endpoint.failing': 'endpoint failingSince hours',
  'endpoint.disabled': 'endpoint failingSince reason',
};
/** An event of before 043-lean-events.sql has all of these too; no other has one. */
const KEPT_BY_DEPOSIT = 'asked buyCoinMode currencyCode externalOrderNumber final sequence wallet';

/** A field that no event of its type has, one that is missing, or one of another JSON type; null: there is none. */
const FORM = `(
  select min(coalesce(h.name, w.name) || case when w.name is null then ' is no field of it' when h.name is null then ' is missing' else ' is a ' || h.type end)
    from (select x.key as name, jsonb_typeof(x.value) as type from jsonb_each(case when jsonb_typeof(e.data) = 'object' then e.data end) x) h
    full join (select unnest(string_to_array(case when k.type like 'endpoint.%' then 'sequence ' when e.data ? 'externalOrderNumber' then 'late state ${KEPT_BY_DEPOSIT} ' else 'late state ' end || k.fields, ' ')) as name
                 from (values ${Object.entries(BESIDE)
                   .map((pair) => `('${pair.join(`', '`)}')`)
                   .join(', ')}) k(type, fields) where k.type = e.type) w on w.name = h.name
   where w.name is null or h.name is null or h.type not in ('null', case w.name
           when 'sequence' then 'number' when 'hours' then 'number' when 'asked' then 'object' when 'final' then 'boolean' when 'late' then 'boolean' when 'kept' then 'boolean' else 'string' end))`;

/** Events that tell of a state, each with the one before. */
const COURSE = `(
  select e.*, s.state, lag(s.state) over w as before, lead(e.sequence) over w as next
    from engine.event e join ${states('s')} on s.type = e.type window w as (partition by e.subject order by e.sequence))`;

/** The postings that touch a wallet, and the type of the event that tells each, unless it changed the state. */
const MOVES = `(
  select t.*, case when t.amount < 0 then 'deposit.reversed' when t.kind = 'reversal' then 'deposit.restored' else 'deposit.payment_added' end as told_as,
         trim_scale(abs(t.amount - t.fee - coalesce(t.rest, 0)))::text as moved, coalesce(t.provider_code, r.provider_code) as code
    from ledger.transaction t
    left join ledger.lineage l on l.transaction_id = t.id left join ledger.transaction r on r.id = l.root
   where t.credit_code like 'wallet:%')`;

/** A field of an event that says something else than the rows; null: none does. Whether one is missing, the form says. */
const differs = (fields: Readonly<Record<string, string>>): string =>
  `case ${Object.entries(fields)
    .map(
      ([name, value]) =>
        `when ${KEPT_BY_DEPOSIT.split(' ').includes(name) ? `e.data ? '${name}' and ` : ''}e.data->>'${name}' is distinct from ${value} then '${name} is ' || coalesce(left(e.data->>'${name}', 100), 'none') || ', and it is ' || coalesce(${value}, 'none')`,
    )
    .join(' ')} end`;

const time = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** SQL: `place` and `detail` of each event for which `fault` is not null. */
const faults = (from: string, fault: string): string =>
  `select ${place} as place, x.fault as detail from engine.event e ${from} cross join lateral (select ${fault} as fault) x where x.fault is not null`;

const finalIn = (state: string): string =>
  `(${state} in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'))::text`;
/** The state that a deposit had before events were written: its own, or one that leads to the next that was told. */
const OF_BEFORE = `case
  when e.data->>'state' <> d.state and not exists (
    select from engine.event f join ${states('s')} on s.type = f.type
     where f.subject = e.subject and f.sequence > e.sequence and (e.data->>'state' = 'CREDITING' or e.data->>'state' || '>' || s.state in ${STEPS}))
    then 'state is ' || (e.data->>'state') || ', and the deposit is ' || d.state
  else ${differs({ final: finalIn(`(e.data->>'state')`), late: `(e.data->>'late' = 'true' and d.late)::text` })} end`;

export const EVENTS: readonly SqlCheck[] = [
  {
    kind: 'notification_differs',
    sql: `select 'posting ' || t.id as place, 'is told by no event' as detail from ${MOVES} t
           where t.posted_at > ${BEGAN} and not exists (select from engine.event e where e.posting = t.id)`,
  },
  {
    kind: 'notification_differs',
    sql: faults(
      `left join ${MOVES} t on t.id = e.posting`,
      `case
         when (e.type in ('deposit.credited', 'deposit.reversed', 'deposit.restored', 'deposit.payment_added')) <> (e.posting is not null)
         then 'is a ' || e.type || ' of ' || coalesce('posting ' || e.posting, 'no posting')
         when e.posting is null then null
         when t.id is null then 'tells of posting ' || e.posting || ', which touches no wallet'
         -- A deposit that was open then may end by a payment of before.
         when t.posted_at <= ${BEGAN} and not exists (select from engine.deposit d where d.posting_id = t.id and d.closed_at > ${BEGAN} and e.type = 'deposit.credited')
         then 'tells of posting ' || t.id || ', of before events were written'
         when e.subject is distinct from t.deposit then 'tells ' || e.subject || ' of a posting of deposit ' || coalesce(t.deposit, 'none')
         when e.type not in ('deposit.credited', t.told_as) or e.type = 'deposit.credited' and t.amount < 0 then 'is a ' || e.type || ', and the posting is a ' || t.told_as
         when e.at < t.posted_at then 'was written ' || e.at || ', before it happened, ' || t.posted_at
         else coalesce(${differs({ postingId: 't.id::text', amount: 't.moved', transactionCode: 't.code' })}, case when t.amount > 0
           then ${differs({ paidPrice: 'trim_scale(t.fiat_amount)::text', creditedAt: time('t.posted_at') })}
           else ${differs({ kept: `(t.debit_code like 'suspense:%')::text`, of: 't.origin::text' })} end) end`,
    ),
  },
  {
    kind: 'notification_differs',
    sql: `select 'deposit:' || d.external_order_number as place, 'has ' || d.events || ' events, and ' || x.n || ' are on record, the last with the number ' || coalesce(x.last, 0) as detail
            from engine.deposit d
            left join (select e.subject, count(*) as n, max(e.sequence) as last from engine.event e group by e.subject) k on k.subject = d.external_order_number
           cross join lateral (select coalesce(k.n, 0) as n, k.last) x
           where d.events <> x.n or x.n <> coalesce(x.last, 0)
          union all
          select 'event ' || e.subject, x.fault
            from (select e.subject, count(*) as n, max(e.sequence) as last from engine.event e group by e.subject) e
            left join engine.deposit d on d.external_order_number = e.subject
           cross join lateral (select case
             when d.external_order_number is null and e.subject !~ '^(callback|endpoint):' then 'has events, and no such deposit'
             when d.external_order_number is null and e.n <> e.last then 'has ' || e.n || ' events, the last with the number ' || e.last end as fault) x
           where x.fault is not null`,
  },
  {
    kind: 'notification_differs',
    sql: `select ${place} as place, 'is published at ' || coalesce(e.position::text, 'no place') || ', and one after it at ' || b.after as detail
            from (select e.id, min(e.position) over (partition by e.subject order by e.sequence rows between 1 following and unbounded following) as after
                    from engine.event e) b
            join engine.event e on e.id = b.id where e.position > b.after or e.position is null and b.after is not null
          union all
          select ${place}, x.fault
            from (select e.id, lag(e.id) over w as id_before, lag(e.published_at) over w as before from engine.event e
                   where e.position is not null window w as (order by e.position)) b
            join engine.event e on e.id = b.id
           cross join lateral (select case
             when e.published_at < e.at then 'was published ' || e.published_at || ', before it was written, ' || e.at
             when e.published_at < b.before then 'was published ' || e.published_at || ', and the one before it ' || b.before
             -- Those that are published at once have the order in which they were written.
             when e.published_at = b.before and e.id < b.id_before then 'is published in another order than it was written' end as fault) x
           where x.fault is not null
          union all
          select ${place}, 'was written ' || e.at || ', and the one before it ' || b.before
            from (select e.id, lag(e.at) over (partition by e.subject order by e.sequence) as before from engine.event e) b
            join engine.event e on e.id = b.id where e.at < b.before
          union all
          select 'events', 'are published at ' || count(*) || ' places, and the last is ' || max(e.position) from engine.event e where e.position is not null
          having count(*) <> max(e.position) or min(e.position) <> 1`,
  },
  {
    // What it says of its deposit, which never changes; and who may read it.
    kind: 'notification_differs',
    sql: faults(
      'left join engine.deposit d on d.external_order_number = e.subject',
      `case
         when e.wallet is distinct from d.wallet then 'is for wallet ' || coalesce(e.wallet, 'none') || ', and the deposit is of ' || coalesce(d.wallet, 'none')
         when e.epoch not between 1 + (select count(*) from engine.restored r where r.at <= e.at - interval '10 seconds')
                              and 1 + (select count(*) from engine.restored r where r.at <= e.at) then 'is of epoch ' || e.epoch
         when e.at < ${BEGAN} then 'was written ' || e.at || ', before events were written'
         when ${FORM} is not null then 'its field ' || ${FORM}
         when d.wallet is null and num_nonnulls(e.data->>'state', e.data->>'final', e.data->>'late') > 0 then 'has a state, and no deposit'
         when e.at < d.created_at then 'was written ' || e.at || ', before its deposit'
         else ${differs({
           externalOrderNumber: 'd.external_order_number',
           sequence: 'e.sequence::text',
           wallet: 'd.wallet',
           currencyCode: 'd.currency_code',
           buyCoinMode: 'd.buy_coin_mode',
           asked: `(case d.buy_coin_mode when 'MtcAmount' then jsonb_build_object('mtcAmount', trim_scale(d.mtc_amount)::text)
                                         when 'PaymentPrice' then jsonb_build_object('totalPrice', trim_scale(d.total_price)::text) end)::text`,
         })} end`,
    ),
  },
  {
    kind: 'notification_differs',
    sql: `select ${place} as place, x.fault as detail
            from ${COURSE} c join engine.event e on e.id = c.id join engine.deposit d on d.external_order_number = e.subject
           cross join lateral (select case
             when coalesce(c.before, case when d.created_at > ${BEGAN} then 'PLACING' end) || '>' || c.state not in ${STEPS}
             then 'tells of ' || c.state || ' after ' || coalesce(c.before, 'PLACING')
             when d.closed_at <= ${BEGAN} then 'tells of ' || c.state || ', and the deposit was closed before events were written'
             when c.type = 'deposit.unknown' and not exists (select from engine.placement_attempt a where a.external_order_number = e.subject and a.outcome = 'unknown')
             then 'tells that an answer was lost, and none was'
             -- A payment has one open case.
             when c.type = 'deposit.in_review' and not exists (select from engine.review_case v where v.workflow_id = e.data->>'case' and v.callback = d.bound_callback
               and e.at between v.opened_at and coalesce(v.closed_at, e.at)) then 'tells of case ' || coalesce(left(e.data->>'case', 100), 'none') || ', which its payment did not have'
             when c.next is null and d.state <> c.state then 'is the last that tells of a state, ' || c.state || ', and the deposit is ' || d.state
             when c.at < case when c.state in ('CREDITED', 'REJECTED', 'PLACEMENT_REFUSED', 'UNPAID') then d.closed_at
                              when c.type = 'deposit.placed' then d.placed_at
                              when c.type = 'deposit.expired' then least(d.expires_at, d.listening_until) - interval '1 second' end
             then 'was written ' || c.at || ', before it happened' end as fault) x
           where x.fault is not null
          union all
          select 'deposit:' || d.external_order_number, 'is ' || d.state || ', and no event tells of it'
            from engine.deposit d
           where d.created_at > ${BEGAN} and d.state not in ('PLACING', 'CREDITING')
             and not exists (select from engine.event e join ${states('s')} on s.type = e.type where e.subject = d.external_order_number)
          union all
          -- A link that came late, or for an order whose payment people had credited, changed no state.
          select 'deposit:' || d.external_order_number, 'was placed, and no event tells of it'
            from engine.deposit d
           where d.created_at > ${BEGAN} and d.placed_at is not null and d.settled_by is null
             and not exists (select from engine.event e where e.subject = d.external_order_number and e.type in ('deposit.placed', 'deposit.unknown'))
          union all
          select v.workflow_id, 'is for people, and no event tells of it'
            from engine.deposit d join engine.review_case v on v.workflow_id = 'deposit:' || d.external_order_number
           where d.created_at > ${BEGAN} and not exists (select from engine.event e where e.subject = d.external_order_number and e.type = 'deposit.in_review')`,
  },
  {
    // The state that it shows is that of the last event which told of one.
    kind: 'notification_differs',
    sql: faults(
      `join engine.deposit d on d.external_order_number = e.subject
       join (select n.id, max(n.sequence) filter (where s.type is not null) over (partition by n.subject order by n.sequence) as told
               from engine.event n left join ${states('s')} on s.type = n.type) n on n.id = e.id
       left join engine.event t on t.subject = e.subject and t.sequence = n.told
       left join ${states('k')} on k.type = t.type`,
      `case when k.state is null and d.created_at <= ${BEGAN} then ${OF_BEFORE}
            else ${differs({
              state: `coalesce(k.state, 'PLACING')`,
              final: finalIn(`coalesce(k.state, 'PLACING')`),
              // It is said with the payment.
              late: `(coalesce(k.state, '') in ('IN_REVIEW', 'CREDITED', 'REJECTED') and d.late)::text`,
            })} end`,
    ),
  },
  {
    // What it says beside, of the row and of the case.
    kind: 'notification_differs',
    sql: faults(
      'join engine.deposit d on d.external_order_number = e.subject',
      `case e.type
         when 'deposit.placed' then ${differs({ expiresAt: time('d.expires_at'), listeningUntil: time('d.listening_until'), advertisementCode: 'd.advertisement_code' })}
         when 'deposit.expired' then ${differs({ listeningUntil: time('d.listening_until') })}
         -- The answer that came after all has begun the window once more.
         when 'deposit.unknown' then case when d.placed_at is null then ${differs({ listeningUntil: time('d.listening_until') })} end
         when 'deposit.refused' then ${differs({ refusal: 'd.refusal', closedAt: time('d.closed_at') })}
         when 'deposit.unpaid' then ${differs({ closedAt: time('d.closed_at') })}
         when 'deposit.settled' then ${differs({ postingId: 'd.posting_id::text', closedAt: time('d.closed_at') })}
         when 'deposit.in_review' then ${differs({ reason: 'd.review_reason' })}
         when 'deposit.rejected' then ${differs({ closedAt: time('d.closed_at'), case: `coalesce(d.settled_by, 'deposit:' || d.external_order_number)` })} end`,
    ),
  },
  {
    kind: 'notification_differs',
    sql: `select 'case ' || v.workflow_id as place, 'has no event that tells it was ' || w.what as detail
            from engine.review_case v
           cross join lateral (values ('case.opened', 'opened', v.opened_at), ('case.decided', 'decided', v.closed_at)) w(type, what, at)
           where w.at > ${BEGAN} and not exists (select from engine.event e where e.case_id = v.workflow_id and e.type = w.type)
          union all
          select ${place}, x.fault
            from (select e.id, row_number() over (partition by e.case_id, e.type order by e.id) as nth from engine.event e
                   where e.case_id is not null or e.type in ('case.opened', 'case.decided')) n
            join engine.event e on e.id = n.id
            left join engine.review_case v on v.workflow_id = e.case_id left join engine.callback c on c.id = v.callback
            left join engine.deposit d on d.external_order_number = c.external_order_number
            left join engine.event o on o.case_id = e.case_id and o.type = 'case.opened'
           cross join lateral (select case
             when e.type not in ('case.opened', 'case.decided') then 'is a ' || e.type || ' of a case'
             when v.workflow_id is null then 'tells of case ' || coalesce(e.case_id, 'none') || ', which is not there'
             when n.nth > 1 then 'tells of case ' || e.case_id || ' once more'
             when e.subject not in (c.external_order_number, 'callback:' || c.id) then 'tells ' || e.subject || ' of a case of ' || c.external_order_number
             when e.subject <> o.subject then 'tells ' || e.subject || ' of a case that was told ' || o.subject
             -- A deposit may come while the case of its unknown order is opened.
             when e.subject like 'callback:%' and d.created_at < e.at - interval '1 minute' and coalesce(o.id, e.id) = e.id then 'tells nobody of a case of deposit ' || d.external_order_number
             when e.at < case e.type when 'case.opened' then v.opened_at else v.closed_at end then 'was written ' || e.at || ', before it happened'
             when e.type = 'case.decided' and v.closed_at is null then 'tells that an open case was decided'
             when e.type = 'case.opened' then ${differs({ case: 'v.workflow_id', reason: 'v.reason' })}
             else ${differs({ case: 'v.workflow_id', decision: 'v.decision', postingId: 'v.posting::text' })} end as fault) x
           where x.fault is not null`,
  },
  {
    // Of endpoints themselves. What one failed since is forgotten when it answers again.
    kind: 'notification_differs',
    sql: `select ${place} as place, x.fault as detail
            from (select e.*, row_number() over (partition by e.subject, e.type, e.data->>'failingSince', e.data->>'hours' order by e.sequence) as nth,
                         e.data->>'failingSince' collate "C" as since, e.data->>'hours' in ('60', '84', '108') as is_warning
                    from engine.event e where e.type like 'endpoint.%' or e.subject like 'endpoint:%') e
            left join engine.endpoint p on e.subject = 'endpoint:' || p.id
           cross join lateral (select case
             when e.subject not like 'endpoint:%' or e.type not like 'endpoint.%' then 'is a ' || e.type || ' of ' || e.subject
             when p.id is null then 'tells of an endpoint that is not there'
             when e.nth > 1 then 'tells of the same failure once more'
             when e.type = 'endpoint.failing' and e.is_warning is not true then 'is a warning after ' || coalesce(left(e.data->>'hours', 100), 'no') || ' hours'
             when e.type = 'endpoint.disabled' and coalesce(e.data->>'reason', '') not in ('gone', 'failing') then 'is disabled for ' || coalesce(left(e.data->>'reason', 100), 'no reason')
             -- As text: what somebody wrote there may be no time.
             when not coalesce(e.since ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' and e.since >= ${time('p.created_at')} and e.since <= ${time(`(e.at - make_interval(hours =>
               case when e.is_warning then (e.data->>'hours')::integer when e.data->>'reason' = 'failing' then 120 else 0 end))`)}, false)
             then 'tells that it fails since ' || coalesce(left(e.since, 100), 'never')
             else ${differs({ endpoint: `'ep_' || p.id` })} end as fault) x
           where x.fault is not null
          union all
          select 'endpoint:' || p.id, 'is ' || w.what || ', and no event tells of it'
            from engine.endpoint p
           cross join lateral (values ('endpoint.failing', 'failing for ' || p.warned || ' hours', p.warned > 0), ('endpoint.disabled', 'disabled', p.state = 'disabled')) w(type, what, is_so)
           where w.is_so and not exists (select from engine.event e where e.subject = 'endpoint:' || p.id and e.type = w.type
             and e.data->>'failingSince' = ${time('p.failing_since')} and (e.data->>'hours' is null or e.data->>'hours' = p.warned::text))`,
  },
];
