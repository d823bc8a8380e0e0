import type { SqlCheck } from './table-checks.ts';

/**
 * Deliveries to endpoints (docs/reference/webhooks.md), compared with the events and the attempts in both directions: an
 * event is owed to every endpoint that wants it and to no other, and what is settled was attempted.
 */

const place = (alias: string): string =>
  `'event evt_' || ${alias}.subject || '_' || ${alias}.sequence || ' to ep_' || ${alias}.endpoint`;

/** Whether an endpoint wants an event that was published under its present terms. */
const WANTS = `p.state <> 'deleted' and e.position > p.from_position and (p.types is null or e.type = any (p.types)) and (p.wallets is null or e.wallet = any (p.wallets))
  and e.subject <> 'endpoint:' || p.id
  and (e.subject not like 'endpoint:%' or exists (select from engine.endpoint s where e.subject = 'endpoint:' || s.id and s.owner = p.owner))`;

/** Each delivery with its event and the number of its attempts by what came of them. */
const KNOWN = `(
  select d.*, e.position as at_position, e.type, e.wallet, p.owner, p.wallets, p.state, p.types, p.from_position,
         count(*) filter (where t.status between 200 and 299) as received,
         count(*) filter (where t.counts and (t.status is not null or t.fault is not null)) as counted
    from engine.delivery d
    join engine.event e on e.subject = d.subject and e.sequence = d.sequence
    join engine.endpoint p on p.id = d.endpoint
    left join engine.delivery_attempt t on t.subject = d.subject and t.endpoint = d.endpoint and t.sequence = d.sequence
   group by d.subject, d.endpoint, d.sequence, e.id, p.id)`;

/** What is sent of an event, written again: the audit trusts no view of the database. */
const BODY = `(jsonb_build_object(
  'type', e.type, 'timestamp', to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'version', 1, 'epoch', e.epoch,
  'id', 'evt_' || e.subject || '_' || e.sequence || case when e.epoch > 1 then ':' || e.epoch else '' end,
  'data', case when e.data ? 'state' then jsonb_build_object(
    'externalOrderNumber', d.external_order_number, 'sequence', e.sequence, 'wallet', d.wallet, 'state', e.data->'state',
    'final', (e.data->>'state') in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'), 'late', e.data->'late',
    'currencyCode', d.currency_code, 'buyCoinMode', d.buy_coin_mode,
    'asked', case d.buy_coin_mode when 'MtcAmount' then jsonb_build_object('mtcAmount', trim_scale(d.mtc_amount)::text)
                                  when 'PaymentPrice' then jsonb_build_object('totalPrice', trim_scale(d.total_price)::text) end) else '{}' end || e.data)::text)`;

export const DELIVERIES: readonly SqlCheck[] = [
  {
    kind: 'delivery_differs',
    sql: `select 'event evt_' || e.subject || '_' || e.sequence || ' to ep_' || p.id as place, 'is not owed, and the endpoint wants it' as detail
            from engine.event e join engine.endpoint p on ${WANTS}
           where not exists (select from engine.delivery d where d.subject = e.subject and d.endpoint = p.id and d.sequence = e.sequence)`,
  },
  {
    kind: 'delivery_differs',
    sql: `select ${place('d')} as place, x.fault as detail
            from ${KNOWN} d
           cross join lateral (select case
             when d.position is distinct from d.at_position then 'stands at ' || d.position || ', and the event at ' || coalesce(d.at_position::text, 'no place')
             when d.wallets is not null and (d.wallet = any (d.wallets)) is not true then 'is of wallet ' || coalesce(d.wallet, 'none') || ', and the endpoint is limited to others'
             when d.subject like 'endpoint:%' and not exists (select from engine.endpoint s where d.subject = 'endpoint:' || s.id and s.owner = d.owner)
             then 'tells of an endpoint of somebody else'
             when d.position > d.from_position and (d.types is null or d.type = any (d.types)) is not true then 'is a ' || d.type || ', which the endpoint does not want'
             when d.outcome = 'delivered' and d.received = 0 then 'is delivered, and no attempt was received'
             when d.outcome is distinct from 'delivered' and d.received > 0 then 'was received, and is ' || coalesce(d.outcome, 'waiting')
             when d.outcome = 'given_up' and d.counted < 10 then 'is given up after ' || d.counted || ' of 10 attempts'
             when d.outcome is null and d.state <> 'deleted' and not exists (select from engine.delivery_line l where l.subject = d.subject and l.endpoint = d.endpoint)
             then 'waits, and stands in no line' end as fault) x
           where x.fault is not null`,
  },
  {
    kind: 'delivery_differs',
    sql: `select ${place('t')} as place, 'attempt ' || t.id || ' sent another text than the event' as detail
            from engine.delivery_attempt t join engine.event e on e.subject = t.subject and e.sequence = t.sequence
            left join engine.deposit d on d.external_order_number = e.subject
           where t.body_hash <> sha256(convert_to(${BODY}, 'UTF8'))`,
  },
  {
    // By their numbers: a clock may be set back.
    kind: 'delivery_differs',
    sql: `select ${place('t')} as place, 'attempt ' || t.id || ' was made before event ' || b.sequence || ' was received or given up' as detail
            from engine.delivery_attempt t
            join engine.delivery b on b.subject = t.subject and b.endpoint = t.endpoint and b.sequence < t.sequence
           cross join lateral (select coalesce(bool_or(r.status between 200 and 299), false) as received, count(*) filter (where r.counts) as counted
                                 from engine.delivery_attempt r
                                where r.subject = b.subject and r.endpoint = b.endpoint and r.sequence = b.sequence and r.id < t.id) x
           where t.redelivery is null and not x.received and x.counted < 10`,
  },
];
