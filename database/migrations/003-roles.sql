-- Each process with the least it needs. Deployments give the logins their passwords; a process that has only one URL
-- for all starts with SET ROLE to its own (database/pool.ts).
do $$ declare name text; begin
  foreach name in array array['app_api', 'app_worker', 'app_decisions', 'auditor'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin execute format('create role %I login', name);
      exception when duplicate_object or unique_violation then null; end;
    end if;
    if not (select rolsuper from pg_roles where rolname = current_user) then
      execute format('grant %I to %I', name, current_user);
    end if;
  end loop;
end $$;

grant ledger_reader to app_api, auditor, app_decisions;
grant ledger_poster to app_worker;
grant ledger_decider to app_decisions;

grant usage on schema engine to app_api, app_worker, app_decisions, auditor;

-- The API: reserves deposits, keeps the inbox, raises signals. It can write the payer's name and never read it.
grant select (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code, support_language,
              fingerprint, settings, state, late, redirect_url, advertisement_code, bound_callback, posting_id,
              review_reason, refusal, created_at, placed_at, expires_at, listening_until, closed_at)
  on engine.deposit to app_api, app_decisions, auditor;
grant insert on engine.deposit to app_api;
grant update (bound_callback) on engine.deposit to app_api;
grant select, insert on engine.callback to app_api;
grant update (deposit, receipt, review_reason, attempts, last_at, acked, raised_at, outcome) on engine.callback to app_api;
grant select, insert on engine.callback_stamp to app_api;
grant select, update (reflected_at) on engine.own_stamp to app_api;
grant select on engine.placement_attempt, engine.provider_clock, engine.api_key to app_api;
grant select, insert on engine.decision to app_api;

-- The worker: places orders, closes deposits, posts credits through the ledger's function only.
grant select on engine.deposit, engine.callback, engine.placement_attempt, engine.own_stamp, engine.provider_clock, engine.outgoing, engine.decision to app_worker;
grant update (state, late, redirect_url, advertisement_code, posting_id, review_reason, refusal, placed_at, expires_at, listening_until, closed_at)
  on engine.deposit to app_worker;
grant insert, update (outcome, answer) on engine.placement_attempt to app_worker;
grant update (outcome) on engine.callback to app_worker;
grant insert on engine.own_stamp, engine.outgoing to app_worker;
grant insert, update on engine.provider_clock to app_worker;

grant select on engine.callback, engine.decision, engine.placement_attempt, engine.outgoing, engine.callback_stamp, engine.own_stamp to app_decisions, auditor;
