-- What becomes of a placement, in one round trip: nothing is decided otherwise, in another order, or under other locks than by the
-- functions that this one calls.
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Stores what became of an attempt, takes its deposit on where there is an order, and returns when the payment window ends.
create function conclude_attempt(of_order text, attempt integer, said jsonb, out stands jsonb, out expires_at timestamptz)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  stands := end_attempt(of_order, attempt, said);
  -- The row is unknown if it was adopted before the answer came.
  if stands->>'kind' = 'placed' then perform deposit_step(of_order, 'AWAITING_PAYMENT'); end if;
  select d.expires_at into expires_at from deposit d where d.external_order_number = of_order;
end $$;

revoke execute on function conclude_attempt(text, integer, jsonb) from public;
grant execute on function conclude_attempt(text, integer, jsonb) to app_worker;

reset role;
revoke create on schema engine from engine_owner;
