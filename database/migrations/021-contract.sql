-- What functions have taken the place of is taken away. Apply it when no process of the version before is running any more
-- (docs/deployment.md): its statements need these grants.

-- The worker --------------------------------------------------------------------------------------------------------------
-- It changes rows through the functions of 018-worker.sql, and money through engine.credit, park and give_to_people alone.
set local search_path = engine, pg_temp;
revoke update (state, late, redirect_url, advertisement_code, posting_id, review_reason, refusal, placed_at, expires_at, listening_until, closed_at)
  on deposit from app_worker;
revoke insert, update (outcome, answer) on placement_attempt from app_worker;
revoke update (outcome) on callback from app_worker;
revoke insert on own_stamp, outgoing, archive_object from app_worker;
revoke insert, update on provider_clock from app_worker;
revoke insert, update (parked, proposal) on review_case from app_worker;
revoke insert (workflow_id, run_id, closed_at) on archive_lost from app_worker;
revoke update (looks, look_at) on archive_due from app_worker;
-- Memberships belong to the whole server, where another database may still need them: the role stays, and can do nothing
-- but name the transaction code of a posting.
set local role ledger_owner;
revoke execute on function ledger.credit(jsonb), ledger.park(jsonb) from ledger_poster;
reset role;
