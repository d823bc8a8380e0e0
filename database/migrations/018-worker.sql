-- What the worker may change (docs/database-roles.md#what-the-worker-changes). First the walls around state, for every role,
-- the owner included; then the functions that take the place of the worker's grants.
set local search_path = engine, pg_temp;

-- States ------------------------------------------------------------------------------------------------------------------
-- The pairs are shownTransitions() of domain/deposit.ts; a test compares.

create function refuse_state() returns trigger language plpgsql as
$$ begin raise exception 'deposit %: no change from % to %', old.external_order_number, old.state, new.state using errcode = 'P0E50'; end $$;
create trigger state before update of state on deposit for each row when (
  old.state is distinct from new.state and (old.state, new.state) not in (
    ('PLACING', 'AWAITING_PAYMENT'), ('PLACING', 'PLACEMENT_UNKNOWN'), ('PLACING', 'PLACEMENT_REFUSED'), ('PLACING', 'IN_REVIEW'), ('PLACING', 'CREDITED'), ('PLACING', 'REJECTED'),
    ('PLACEMENT_UNKNOWN', 'CREDITED'), ('PLACEMENT_UNKNOWN', 'IN_REVIEW'), ('PLACEMENT_UNKNOWN', 'REJECTED'), ('PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT'), ('PLACEMENT_UNKNOWN', 'UNPAID'),
    ('AWAITING_PAYMENT', 'CREDITED'), ('AWAITING_PAYMENT', 'IN_REVIEW'), ('AWAITING_PAYMENT', 'REJECTED'), ('AWAITING_PAYMENT', 'EXPIRED'),
    ('EXPIRED', 'CREDITED'), ('EXPIRED', 'IN_REVIEW'), ('EXPIRED', 'REJECTED'), ('EXPIRED', 'UNPAID'),
    ('CREDITING', 'CREDITED'), ('CREDITING', 'IN_REVIEW'), ('CREDITING', 'REJECTED'),
    ('IN_REVIEW', 'CREDITED'), ('IN_REVIEW', 'REJECTED'))) execute function refuse_state();

-- What begins, begins open and with nothing settled.
create function refuse_row() returns trigger language plpgsql as
$$ begin raise exception 'engine.%: a new row has no past', tg_table_name using errcode = 'P0E52'; end $$;
create trigger new_row before insert on deposit for each row when (new.state <> 'PLACING' or num_nonnulls(new.bound_callback, new.posting_id,
  new.settled_by, new.told_at, new.redirect_url, new.advertisement_code, new.refusal, new.review_reason, new.placed_at, new.expires_at,
  new.listening_until, new.closed_at) > 0) execute function refuse_row();
create trigger new_row before insert on review_case for each row when (num_nonnulls(new.parked, new.proposal, new.closed_at, new.decision,
  new.decided_by, new.posting) > 0) execute function refuse_row();
create trigger new_row before insert on callback for each row when (new.outcome is not null) execute function refuse_row();

-- Kept once ---------------------------------------------------------------------------------------------------------------

create function refuse_change() returns trigger language plpgsql as
$$ begin raise exception 'engine.%: what is written once stays', tg_table_name using errcode = 'P0E51'; end $$;

-- A checkout link comes with the windows that it begins, also where windows began without one.
create trigger kept before update of closed_at, posting_id, settled_by, placed_at, redirect_url, advertisement_code, refusal, review_reason,
                                     expires_at, listening_until on deposit for each row when (

     old.closed_at is not null and new.closed_at is distinct from old.closed_at
  or old.posting_id is not null and new.posting_id is distinct from old.posting_id
  or old.settled_by is not null and new.settled_by is distinct from old.settled_by
  or old.placed_at is not null and new.placed_at is distinct from old.placed_at
  or old.redirect_url is not null and new.redirect_url is distinct from old.redirect_url
  or old.advertisement_code is not null and new.advertisement_code is distinct from old.advertisement_code
  or old.refusal is not null and new.refusal is distinct from old.refusal
  or old.review_reason is not null and new.review_reason is distinct from old.review_reason
  or (old.redirect_url is not null or new.redirect_url is null) and (
       old.expires_at is not null and new.expires_at is distinct from old.expires_at
    or old.listening_until is not null and new.listening_until is distinct from old.listening_until))
  execute function refuse_change();
create trigger kept before update on review_case for each row when (
     (old.workflow_id, old.callback, old.reason, old.detail, old.opened_by, old.doubted, old.opened_at) is distinct from
     (new.workflow_id, new.callback, new.reason, new.detail, new.opened_by, new.doubted, new.opened_at)
  or old.closed_at is not null and (old.closed_at, old.decision, old.decided_by, old.posting, old.parked, old.held_by) is distinct from
     (new.closed_at, new.decision, new.decided_by, new.posting, new.parked, new.held_by))
  execute function refuse_change();
create trigger kept before update of received_at, last_at, outcome on callback for each row when (
     old.received_at is distinct from new.received_at
  or new.last_at < old.last_at or new.last_at is null
  or old.outcome is not null and new.outcome is distinct from old.outcome)
  execute function refuse_change();
-- An answer once; "unknown" gives way to the answer that came late, and what was decided stays.
create trigger kept before update on placement_attempt for each row when (
     (old.external_order_number, old.n, old.started_at, old.deadline) is distinct from (new.external_order_number, new.n, new.started_at, new.deadline)
  or old.outcome is not null and new.outcome is distinct from old.outcome
  or old.answer is not null and new.answer is distinct from old.answer
     and not (old.outcome = 'unknown' and old.answer->>'kind' = 'unknown'))
  execute function refuse_change();

revoke execute on function refuse_state(), refuse_row(), refuse_change() from public;
