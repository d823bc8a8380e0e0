-- Functions instead of grants (docs/database-roles.md): what a process may change, it changes through a function that
-- checks it against rows. They run as engine_owner, which nobody logs in as, and which may do no more than they need.
do $$ begin
  if not exists (select from pg_roles where rolname = 'engine_owner') then
    begin create role engine_owner nologin;
    exception when duplicate_object or unique_violation then null; end;
  end if;
  -- Whoever migrates without being a superuser has to be it for a moment.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant engine_owner to %I', current_user);
  end if;
end $$;
grant ledger_reader, ledger_poster, ledger_decider to engine_owner;
grant usage on schema engine to engine_owner;
grant select on engine.callback, engine.callback_attempt, engine.callback_stamp, engine.carried, engine.decision, engine.outgoing, engine.own_stamp,
  engine.placement_attempt, engine.provider_clock, engine.refused_step, engine.restored, engine.review_case, engine.seal_epoch, engine.stated_facts
  to engine_owner;
-- Everything but the payer's name.
grant select (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code, support_language, fingerprint,
              settings, state, late, redirect_url, advertisement_code, bound_callback, posting_id, review_reason, refusal,
              created_at, placed_at, expires_at, listening_until, closed_at, settled_by, told_at)
  on engine.deposit to engine_owner;

-- Pruning reads the windows of all open deposits: one that is no number would stop it for every other.
alter table engine.deposit add constraint listening_window
  check ((settings->>'listeningWindowMs')::bigint between 0 and 1000000000000) not valid;

-- A plan without sequential scans looks dear enough for just-in-time compilation, which takes a second (docs/database-roles.md).
do $$ declare f regprocedure; begin
  for f in select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname in ('engine', 'ledger') and p.prosecdef loop
    execute format('alter function %s set jit = off', f);
  end loop;
end $$;
