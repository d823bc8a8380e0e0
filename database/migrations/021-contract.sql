-- What functions have taken the place of is taken away. Nothing of the version before runs any more (docs/deployment.md):
-- its statements need these grants.
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
  end if;
end $$;

-- Who decided (017-proofs.sql) ------------------------------------------------------------------------------------------

-- Keys are found by what they prove alone, and nobody but the owner reads what is kept of them.
drop trigger prove on engine.api_key;
drop function engine.prove_api_key();
create or replace function engine.issue_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint) returns bigint
language sql set search_path = engine, pg_temp as $$
  insert into api_key (name, proof_hash, scopes, wallets, expires_at)
  values (of_name, sha256(proof), may, only_wallets, clock_timestamp() + lives_ms * interval '1 millisecond') returning id $$;
-- Written anew: a dropped column stays in the file of the table, where every copy of the disk has it.
alter table engine.api_key drop column hash, alter column proof_hash type bytea using proof_hash || ''::bytea;
revoke select on engine.api_key from app_api;

revoke insert on engine.decision, engine.stated_facts, engine.refused_step from app_api;

-- The worker --------------------------------------------------------------------------------------------------------------
-- It changes rows through the functions of 018-worker.sql, and money through engine.credit, park and give_to_people alone.
revoke update (state, late, redirect_url, advertisement_code, posting_id, review_reason, refusal, placed_at, expires_at, listening_until, closed_at)
  on engine.deposit from app_worker;
revoke insert, update (outcome, answer) on engine.placement_attempt from app_worker;
revoke update (outcome) on engine.callback from app_worker;
revoke insert on engine.own_stamp, engine.outgoing, engine.archive_object from app_worker;
revoke insert, update on engine.provider_clock from app_worker;
revoke insert, update (parked, proposal) on engine.review_case from app_worker;
revoke insert (workflow_id, run_id, closed_at) on engine.archive_lost from app_worker;
revoke update (looks, look_at) on engine.archive_due from app_worker;
-- Memberships belong to the whole server, where another database may still need them: the role stays, and can do nothing
-- but name the transaction code of a posting.
set local role ledger_owner;
revoke execute on function ledger.credit(jsonb), ledger.park(jsonb) from ledger_poster;
reset role;

-- API (019-api.sql) -------------------------------------------------------------------------------------------------------
-- Of the tables that it wrote it keeps the insert of a deposit.
revoke insert, update on engine.callback, engine.callback_stamp, engine.callback_attempt, engine.own_stamp from app_api;
revoke update on engine.deposit from app_api;
revoke insert, update on engine.review_case from app_api;

-- Decisions ------------------------------------------------------------------------------------------------------------
-- Memberships are the whole server's and its other databases may be older, so the role keeps its member and loses what it
-- may do here.
set local role ledger_owner;
revoke execute on function
  ledger.park(jsonb),
  ledger.release(text, bigint, text, text, numeric, text, text, text, bigint, numeric),
  ledger.reverse(text, bigint, boolean, text, text, text, bigint),
  ledger.give_back(text, bigint, text, text, text) from ledger_decider;
reset role;
revoke update on engine.deposit, engine.review_case from app_decisions;
revoke insert on engine.carried, engine.outgoing from app_decisions;
