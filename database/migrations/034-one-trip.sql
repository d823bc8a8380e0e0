-- What the usual deposit asks of the database, in fewer round trips: nothing is decided otherwise, in another order, or under
-- other locks than by the functions that these call.
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- A message that becomes `first` if nothing stands against it, or a repeat of one that was acknowledged, which is counted
-- without the deposit's lock. No row: decide() of intake/route-callback.ts has to look, and nothing was changed. The order has
-- to be sent by `sent_by_ms`; `age_ms` is the stamp's, by the provider's clock.
create function receive_first(of_order text, content bytea, says jsonb, bytes bytea, by_key text, at_ms bigint, copies integer,
  age_ms double precision, sent_by_ms double precision, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea)
returns table (did text, c callback)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare a record;
begin
  select x.* into c from callback x where x.external_order_number = of_order and x.content_hash = content and x.acked;
  if c.id is null then
    select * into a from arriving(of_order, content, by_key, at_ms);
    if a.acked then
      select x.* into c from callback x where x.id = a.known;
    end if;
  end if;
  if c.id is not null then
    perform count_attempt(c.id, by_key, at_ms, copies);
    did := 'repeat';
  elsif a.reflected = 'first time' then
    did := 'reflected';
  elsif a.known is null and a.reflected is null and a.bound is null and says is not null
        and a.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID')
        and coalesce(a.stands_for = content, true) and age_ms <= a.listening_ms and a.first_sent_ms <= sent_by_ms then
    select r.* into c from receive(of_order, content, says, bytes, 'first', null, by_key, at_ms, copies, by_seal, by_seal_key, at_sealed_ms, by_mac) r;
    did := 'first';
  else
    return;
  end if;
  return next;
end $$;

-- Stores what became of an attempt, takes its deposit on where there is an order, and returns when the payment window ends.
create function conclude_attempt(of_order text, attempt integer, said jsonb, out stands jsonb, out expires_at timestamptz)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  stands := end_attempt(of_order, attempt, said);
  -- The row is unknown if it was adopted before the answer came.
  if stands->>'kind' = 'placed' then perform deposit_step(of_order, 'AWAITING_PAYMENT'); end if;
  select d.expires_at into expires_at from deposit d where d.external_order_number = of_order;
end $$;

revoke execute on function
  receive_first(text, bytea, jsonb, bytea, text, bigint, integer, double precision, double precision, bytea, text, bigint, bytea),
  conclude_attempt(text, integer, jsonb) from public;
grant execute on function
  receive_first(text, bytea, jsonb, bytea, text, bigint, integer, double precision, double precision, bytea, text, bigint, bytea) to app_api;
grant execute on function conclude_attempt(text, integer, jsonb) to app_worker;

reset role;
revoke create on schema engine from engine_owner;
