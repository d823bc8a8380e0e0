-- What people decide: cases and the steps taken in them.
set local search_path = engine;

-- One row per case: what the API lists and what the books look at before they move money. `deposit:<n>` for a bound
-- callback, `review:<inbox id>` for every other, `review:<inbox id>:reversal:<k>` where a credit is in doubt.
create table review_case (
  workflow_id text primary key,
  callback    bigint not null references callback,
  reason      text not null,
  detail      text not null default '',
  opened_by   text,                              -- the operator who doubts a credit; null: opened by the engine
  doubted     bigint,                            -- the posting in doubt
  parked      bigint,                            -- the posting that left the money in suspense
  proposal    bigint references decision,        -- the one that waits for a confirmation
  opened_at   timestamptz not null default clock_timestamp(),
  closed_at   timestamptz,
  decision    text check (decision in ('credit', 'reject', 'reverse')),
  decided_by  text,
  posting     bigint,                            -- what the decision posted, if anything
  check ((closed_at is null) = (decision is null) and (decision is null) = (decided_by is null)));
create index review_case_open on review_case (opened_at, workflow_id) where closed_at is null;
create index review_case_all on review_case (opened_at desc, workflow_id desc);
-- Two open cases about one callback could each move its money.
create unique index review_case_one_open on review_case (callback) where closed_at is null;

insert into review_case (workflow_id, callback, reason, opened_at)
  select substr(outcome, 8), id, coalesce(review_reason, 'IN_REVIEW'), received_at
    from callback where outcome like 'review:%'
  on conflict do nothing;
update review_case v set reason = coalesce(d.review_reason, v.reason)
  from deposit d where v.workflow_id = 'deposit:' || d.external_order_number;

alter table decision
  add column workflow_id text not null references review_case,
  add column proposal    bigint references decision,
  add column keep        boolean not null default false,
  add column to_deposit  text references deposit,
  alter column reason drop not null,
  drop constraint decision_decision_check,
  add check (decision in ('credit', 'reject', 'reverse')),
  add check ((step = 'propose') = (decision is not null) and (step = 'propose') = (proposal is null)),
  add check (step = 'confirm' or reason is not null),
  add check (not keep or decision = 'reverse'),
  add check (to_deposit is null or decision = 'credit'),
  add check (operator ~ '^[a-z0-9][a-z0-9._-]{0,62}$');
create index decision_by_case on decision (workflow_id, id);

-- The API opens cases and writes steps down; the worker shows what waits and parks; only the role for decisions closes
-- a case, and with it moves money.
grant select, insert on review_case to app_api;
grant select, insert, update (parked, proposal) on review_case to app_worker;
grant select, update (parked, proposal, closed_at, decision, decided_by, posting) on review_case to app_decisions;
grant select on review_case to auditor;
grant update (state, posting_id, late, closed_at) on deposit to app_decisions;
grant insert on outgoing to app_decisions;

-- What people choose to credit is parked and released in one transaction.
set local role ledger_owner;
grant execute on function ledger.park(jsonb) to ledger_decider;
reset role;
