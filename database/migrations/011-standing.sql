-- What people decide follows from where the money is, a step that was carried out answers first, and a case may settle
-- the deposit it was paid for. Ids that Temporal and merchants remember are never given out again.
set local search_path = engine;

-- Partial, so that binding a payment and showing a posting do not count as changes of a key: a row that is locked for
-- them stands in no foreign key's way.
alter table deposit drop constraint deposit_bound_callback_key, drop constraint deposit_posting_id_key;
create unique index deposit_bound on deposit (bound_callback) where bound_callback is not null;
create unique index deposit_posting on deposit (posting_id) where posting_id is not null;

alter table deposit
  add column settled_by text references review_case,   -- the case that credited an unbound payment of this deposit
  add column told_at    timestamptz;                   -- when its workflow accepted the news
create index deposit_to_tell on deposit (external_order_number) where settled_by is not null and told_at is null;

-- Row ids are given out again after a restore; these are not. Rows of before have none, and keep their old names.
alter table callback add column uid uuid;
alter table callback alter column uid set default gen_random_uuid();
alter table decision add column uid uuid;
alter table decision alter column uid set default gen_random_uuid();

alter table callback drop constraint callback_receipt_check;
alter table callback add check (receipt in (
  'first', 'other_content', 'stale', 'ahead', 'reflected', 'unreadable', 'unknown_order', 'final', 'restored'));

alter table review_case
  add column held_by text,                             -- the workflow that holds it, when it is not the case's own
  drop constraint review_case_decision_check,
  add check (decision in ('credit', 'reject', 'reverse', 'restore'));

alter table decision
  add column beside bigint,                            -- the deposit's newest credit, as the operator was shown it
  add column only_ordered boolean not null default false check (not only_ordered or decision = 'credit'),
  drop constraint decision_decision_check,
  add check (decision in ('credit', 'reject', 'reverse', 'restore')),
  add check (beside is null or decision in ('credit', 'reject', 'restore'));

-- Payments that cannot be read: what each of the two people reads in the provider's statement.
create table stated_facts (
  decision         bigint primary key references decision,
  transaction_code text not null check (transaction_code ~ '^[A-Za-z0-9_-]{1,64}$'),
  amount           numeric not null check (amount > 0 and amount < 1e15 and scale(trim_scale(amount)) <= 8),
  currency_code    text not null check (currency_code in ('CNY', 'HKD', 'TWD')),
  payment_price    numeric not null check (payment_price > 0 and payment_price < 1e15 and scale(trim_scale(payment_price)) <= 2),
  statement_line   text check (length(statement_line) <= 200));

-- What a confirmed proposal came to, written where it was carried out. It answers first, whatever came after it.
create table carried (
  proposal     bigint primary key references decision,
  confirmation bigint not null references decision,
  outcome      text not null check (outcome in ('decided', 'withdrawn', 'refused')),
  posting      bigint,
  answer       jsonb not null,                         -- as the case's workflow is told
  at           timestamptz not null default clock_timestamp());
create index carried_by_posting on carried (posting) where posting is not null;

-- Steps that a case's workflow did not take.
create table refused_step (
  decision bigint primary key references decision, refusal text not null, at timestamptz not null default clock_timestamp());

create trigger append_only before update or delete or truncate on stated_facts for each statement execute function forbid();
create trigger append_only before update or delete or truncate on carried      for each statement execute function forbid();
create trigger append_only before update or delete or truncate on refused_step for each statement execute function forbid();

-- A step is written under the lock of its case: it is seen by whoever carries a decision out, or comes too late and is
-- refused. Here and not in a caller, because an older process of a rolling deployment does not know the rule.
create function admit_step() returns trigger language plpgsql security definer set search_path = engine, pg_temp as $$
declare held review_case; proposed decision; one_suffices boolean;
begin
  select * into held from review_case v where v.workflow_id = new.workflow_id for no key update;
  if held.workflow_id is null then raise exception 'there is no case %', new.workflow_id using errcode = 'P0E30'; end if;
  if held.closed_at is not null then raise exception 'case_closed' using errcode = 'P0E31'; end if;
  if new.step = 'propose' then return new; end if;
  if held.proposal is null then raise exception 'no_proposal' using errcode = 'P0E32'; end if;
  if held.proposal <> new.proposal then raise exception 'other_proposal' using errcode = 'P0E33'; end if;
  if new.step = 'withdraw' then return new; end if;
  select * into proposed from decision p where p.id = new.proposal;
  if proposed.operator <> new.operator then return new; end if;
  select proposed.beside is null and (c.data->>'transactionAmount')::numeric <= (d.settings->>'reviewLimit')::numeric into one_suffices
    from callback c left join deposit d on d.external_order_number = c.external_order_number where c.id = held.callback;
  if one_suffices is not true then raise exception 'same_operator' using errcode = 'P0E34'; end if;
  return new;
end $$;
revoke execute on function admit_step() from public;
create trigger admit before insert on decision for each row execute function admit_step();

-- Restores --------------------------------------------------------------------------------------------------------------

-- When this database was restored to an older state, as whoever restored it says (`npm run restored`). An order that is
-- still being placed from before has perhaps been placed, and its attempt is lost.
create table restored (at timestamptz primary key default clock_timestamp());
create trigger append_only before update or delete or truncate on restored for each statement execute function forbid();

-- A row whose workflow has ended before it was written: the order is never placed again, and what comes is for people.
create function adopt_deposit(of_order text) returns void
language sql volatile security definer set search_path = engine, pg_temp as $$
  update deposit set state = 'PLACEMENT_UNKNOWN', expires_at = clock_timestamp(),
         listening_until = clock_timestamp() + (settings->>'listeningWindowMs')::bigint * interval '1 millisecond'
   where external_order_number = of_order and state = 'PLACING' $$;
revoke execute on function adopt_deposit(text) from public;

-- A case that another workflow holds has two histories.
create or replace function case_closed() returns trigger language plpgsql security definer set search_path = engine, pg_temp as
$$ begin
  perform await_archive(new.workflow_id, new.closed_at);
  if new.held_by is not null then perform await_archive(new.held_by, new.closed_at); end if;
  return null;
end $$;
create or replace view unarchived as
  select w.workflow_id, max(w.closed_at) as closed_at, l.noted_at as lost_at
    from (select 'deposit:' || external_order_number as workflow_id, closed_at from deposit where closed_at is not null
          union all
          select workflow_id, closed_at from review_case where closed_at is not null
          union all
          select held_by, closed_at from review_case where closed_at is not null and held_by is not null) w
    left join archive_lost l using (workflow_id)
   where not exists (select from archive a where a.workflow_id = w.workflow_id)
   group by w.workflow_id, l.noted_at;

-- Grants ----------------------------------------------------------------------------------------------------------------

grant select (settled_by, told_at) on deposit to app_api, app_worker, app_decisions, auditor;
grant update (told_at) on deposit to app_api;
grant update (bound_callback, settled_by) on deposit to app_decisions;
grant update (held_by) on review_case to app_api;
grant select on carried, stated_facts, refused_step to app_api, app_decisions, auditor;
grant select on carried, refused_step, restored to app_worker;
grant select on restored to auditor;
grant execute on function adopt_deposit(text) to app_api;
grant insert on stated_facts to app_api;
grant insert (decision, refusal) on refused_step to app_api;
grant insert on carried to app_decisions;
