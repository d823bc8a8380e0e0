-- What is for people and has no case any more is found by the relay, not by the audit of the next night
-- (docs/reference/callbacks.md#who-owns-what-is-open).
-- Few: of these payments a part went into a wallet, and the rest stays in suspense.
create index concurrently if not exists transaction_with_rest on ledger.transaction (id) include (rest) where rest is not null;

-- In one transaction:
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- The case of a deposit that is for people, and of whose payment there is none: as give_to_people() has written it. None: there is
-- one, or there was one that people have closed, and then nothing is opened again.
create function regain_case(of_order text) returns text
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare d record; of_case text := 'deposit:' || of_order;
begin
  select x.bound_callback, coalesce(x.review_reason, 'WORKFLOW_GONE') as why into d
    from deposit x where x.external_order_number = of_order and x.state = 'IN_REVIEW' for no key update;
  insert into review_case (workflow_id, callback, reason, detail)
  select of_case, d.bound_callback, d.why, ''
   where d.bound_callback is not null and not exists (select from review_case v where v.callback = d.bound_callback and v.doubted is null)
  on conflict do nothing;
  return case when found then of_case end;
end $$;
revoke execute on function regain_case(text) from public;
grant execute on function regain_case(text) to app_api;
reset role;
revoke create on schema engine from engine_owner;
