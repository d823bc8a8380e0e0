import { type SqlCheck } from './table-checks.ts';

/** Rows that are written beside an effect and decide nothing, attempts and stamps, compared with it in both directions. */

/** Nothing younger is pruned (docs/internals/growth.md#what-prunes): a missing younger row was deleted. */
const KEPT = `interval '6 days'`;

/** A stamp is at most this far from the sending of its order; its function enforces it. */
const STAMPED_MS = 660_000;

/** Intervals with an own stamp, and their neighbors. */
const STAMPED = `(select distinct s.timestamp_ms / ${STAMPED_MS} + d.by as slot from engine.own_stamp s cross join (values (-1), (0), (1)) d(by))`;

/**
 * Whether 20 contents of one kind are stored for an order (intake/route-callback.ts): more are only counted on the
 * newest.
 */
const FULL = (of: string): string =>
  `select from engine.callback f where f.external_order_number = ${of}.external_order_number group by f.receipt having count(*) >= 20`;

export const ATTEMPTS: readonly SqlCheck[] = [
  {
    // Only an attempt that was surely not sent is followed by another, and a sent one has an own stamp. Several orders
    // share a stamp, so a deleted stamp close to another is not detected.
    kind: 'attempt_differs',
    sql: `select 'deposit:' || a.external_order_number as place, 'attempt ' || a.n || x.fault as detail
            from (select a.*, lag(a.n) over w as before_n, lead(a.n) over w as next_n, (extract(epoch from a.started_at) * 1000)::bigint / ${STAMPED_MS} as slot
                    from engine.placement_attempt a window w as (partition by a.external_order_number order by a.n)) a
            left join ${STAMPED} s on s.slot = a.slot
           cross join lateral (select case
             when a.n <> coalesce(a.before_n, 0) + 1 then ' follows attempt ' || coalesce(a.before_n, 0) || ': what was between is gone'
             when a.next_n is not null and a.outcome is distinct from 'not_sent' then ' was followed by another, and is ' || coalesce(a.outcome, 'without an answer')
             when a.started_at > clock_timestamp() - ${KEPT} and a.outcome is distinct from 'closed'
              and coalesce(a.answer->>'cause', '') not in ('ADOPTED', 'RESTORED') and s.slot is null
             then ' was sent ' || a.started_at || ', and no stamp of ours is on record for that time' end as fault) x
           where x.fault is not null`,
  },
  {
    // The provider's answer has these fields and no others; their values are not printed.
    kind: 'attempt_differs',
    sql: `select 'deposit:' || a.external_order_number as place, 'attempt ' || a.n || ' is ' || coalesce(a.outcome, 'open') || ', and its answer has ' || coalesce(x.words::text, 'no words') as detail
            from engine.placement_attempt a
            left join lateral (select array_agg(k order by k) as words from jsonb_object_keys(case when jsonb_typeof(a.answer) = 'object' then a.answer end) k) x on true
           cross join lateral (select case a.answer->>'kind' when 'placed' then '{kind,redirectUrl,advertisementCode,providerTimeMs}' when 'refused' then '{kind,statusCode,message}'
             when 'not_sent' then '{kind,cause,clock,gridRefused}' else '{kind,cause}' end::text[] as words) w
           where case when a.outcome is null then a.answer is not null
                      else (x.words <@ w.words and (a.outcome = 'unknown' or a.outcome = a.answer->>'kind')) is not true end`,
  },
  {
    // A sealed callback has its attempts, of which the first fifty are stored one by one.
    kind: 'callback_unknown',
    sql: `select 'callback ' || c.id as place, 'came ' || c.attempts || ' times, of which ' || a.kept || ' are on record' as detail
            from engine.callback c
            left join (select callback, count(*) as kept from engine.callback_attempt group by callback) k on k.callback = c.id
           cross join lateral (select coalesce(k.kept, 0) as kept) a
           where c.seal is not null and c.receipt <> 'restored'
             and (a.kept > least(c.attempts, 50) or a.kept < least(c.attempts, 50) and not exists (${FULL('c')}))`,
  },
  {
    // Only after a flood are there stamps of contents that are not stored.
    kind: 'callback_unknown',
    sql: `select coalesce('callback ' || (select max(c.id) from engine.callback c where c.external_order_number = s.external_order_number), 'deposit:' || s.external_order_number) as place,
                 'a stamp of its order ' || s.external_order_number || ' stands for a content that is not kept' as detail
            from engine.callback_stamp s
           where not exists (select from engine.callback c where c.external_order_number = s.external_order_number and c.content_hash = s.content_hash)
             and not exists (${FULL('s')})`,
  },
];
