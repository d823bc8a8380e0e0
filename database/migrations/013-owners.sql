-- An open row whose workflow is gone gets another one, and its order is never placed again.
set local search_path = engine;

drop function adopt_deposit(text);

-- The attempt that may be lost, or that a workflow which was stopped would still have made, is written down as unknown:
-- from then on no workflow places the order. Where the last attempt is open or answered, it says enough by itself. A row
-- that is PLACING waits for its payment from now on; true: it was. `until`: the end of the payment
-- window, where it is known; otherwise the window begins now.
create function adopt_deposit(of_order text, until timestamptz default null) returns boolean
language sql volatile security definer set search_path = engine, pg_temp as $$
  insert into placement_attempt (external_order_number, n, started_at, deadline, outcome, answer)
  select d.external_order_number, coalesce(a.n, 0) + 1, t.at, t.at, 'unknown', '{"kind": "unknown", "cause": "ADOPTED"}'
    from deposit d cross join (select clock_timestamp() as at) t
    left join lateral (select a.n, a.outcome from placement_attempt a
                        where a.external_order_number = d.external_order_number order by a.n desc limit 1) a on true
   where d.external_order_number = of_order and d.state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED')
     and (a.n is null or a.outcome = 'not_sent')
  on conflict do nothing;
  with adopted as (
    update deposit d set state = 'PLACEMENT_UNKNOWN', expires_at = w.until,
           listening_until = w.until + (d.settings->>'listeningWindowMs')::bigint * interval '1 millisecond'
      from (select p.external_order_number as n, coalesce(adopt_deposit.until, clock_timestamp() +
                   (p.settings->>'paymentWindowMs')::bigint * interval '1 millisecond') as until
              from deposit p where p.external_order_number = of_order) w
     where d.external_order_number = w.n and d.state = 'PLACING' returning 1)
  select exists (select from adopted) $$;
revoke execute on function adopt_deposit(text, timestamptz) from public;
grant execute on function adopt_deposit(text, timestamptz) to app_api, app_worker;
