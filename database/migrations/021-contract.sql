-- What is taken away once every process of before is gone: from here on, a process changes by functions only
-- (docs/database-roles.md#by-functions).

-- Decisions ------------------------------------------------------------------------------------------------------------
-- Memberships are the whole server's and its other databases may be older, so the role keeps its member and loses what it
-- may do here.
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
  end if;
end $$;
set local role ledger_owner;
revoke execute on function
  ledger.park(jsonb),
  ledger.release(text, bigint, text, text, numeric, text, text, text, bigint, numeric),
  ledger.reverse(text, bigint, boolean, text, text, text, bigint),
  ledger.give_back(text, bigint, text, text, text) from ledger_decider;
reset role;
revoke update on engine.deposit, engine.review_case from app_decisions;
revoke insert on engine.carried, engine.outgoing from app_decisions;
