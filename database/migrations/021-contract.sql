-- What the functions of 017 to 020 took the place of is taken away. Nothing of the version before runs any more.

-- Who decided (017-proofs.sql) ------------------------------------------------------------------------------------------

-- Keys are found by what they prove alone, and nobody but the owner reads what is kept of them.
drop trigger prove on engine.api_key;
drop function engine.prove_api_key();
create or replace function engine.issue_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint) returns bigint
language sql set search_path = engine, pg_temp as $$
  insert into api_key (name, proof_hash, scopes, wallets, expires_at)
  values (of_name, sha256(proof), may, only_wallets, clock_timestamp() + lives_ms * interval '1 millisecond') returning id $$;
alter table engine.api_key drop column hash;
revoke select on engine.api_key from app_api;

revoke insert on engine.decision, engine.stated_facts, engine.refused_step from app_api;
-- Whoever doubts a credit says so with a key of their own (`open_doubt`).
revoke insert on engine.review_case from app_api;
grant insert (workflow_id, callback, reason, detail) on engine.review_case to app_api;
