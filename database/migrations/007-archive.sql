-- Histories of closed workflows, kept beyond Temporal's retention: the texts by their hash, and a chain with a row for
-- every run.
set local search_path = engine;

create table archive_object (
  hash      bytea primary key check (length(hash) = 32),   -- sha256 of the text
  kind      text not null check (kind in ('history', 'bundle')),
  bytes     bytea not null,                                -- the text, gzip
  stored_at timestamptz not null default clock_timestamp());
-- Compressed already.
alter table archive_object alter column bytes set storage external;

-- UNIQUE (prev) makes a fork impossible. No blank and no '|' in texts, so that archive_line() is unambiguous.
create table archive (
  n             bigint primary key check (n > 0),          -- without gaps
  prev          bytea not null unique,
  hash          bytea not null unique,
  workflow_id   text not null check (workflow_id !~ '[^!-{}~]'),
  run_id        text not null unique check (run_id !~ '[^!-{}~]'),
  workflow_type text not null check (workflow_type !~ '[^!-{}~]'),
  status        text not null check (status in ('COMPLETED', 'FAILED', 'TIMED_OUT', 'TERMINATED', 'CANCELED', 'CONTINUED_AS_NEW')),
  closed_at     timestamptz not null,                      -- by the last event
  events        integer not null check (events > 0),
  history_hash  bytea not null check (length(history_hash) = 32),
  bundle_hash   bytea check (length(bundle_hash) = 32),    -- null: no worker ever worked on this run
  sdk           text not null check (sdk !~ '[^!-{}~]'),
  version       text not null check (version !~ '[^!-{}~]'),
  archived_at   timestamptz not null);
create index archive_by_workflow on archive (workflow_id, n);

create table archive_lost (                                -- closed here, and Temporal did not have the history
  workflow_id text primary key,
  run_id      text,                                        -- null: none was known
  closed_at   timestamptz not null,
  noted_at    timestamptz not null default clock_timestamp());

-- What is still to be archived. Written by triggers, so that nobody who closes anything can forget it.
create table archive_due (
  workflow_id text primary key,
  closed_at   timestamptz not null,
  looks       integer not null default 0,
  look_at     timestamptz not null);
create index archive_due_next on archive_due (look_at);

-- Walls -----------------------------------------------------------------------------------------------------------------

create trigger append_only before update or delete or truncate on archive        for each statement execute function forbid();
create trigger append_only before update or delete or truncate on archive_object for each statement execute function forbid();
create trigger append_only before update or delete or truncate on archive_lost   for each statement execute function forbid();

-- Queue -----------------------------------------------------------------------------------------------------------------

-- A workflow ends a moment after its row: it is looked at two seconds later.
create function await_archive(of_workflow text, closed timestamptz) returns void
language sql volatile security definer set search_path = engine, pg_temp as $$
  insert into archive_due values (of_workflow, closed, 0, clock_timestamp() + interval '2 seconds')
  on conflict (workflow_id) do update
     set closed_at = greatest(archive_due.closed_at, excluded.closed_at), looks = 0, look_at = excluded.look_at $$;
create function deposit_closed() returns trigger language plpgsql security definer set search_path = engine, pg_temp as
$$ begin perform await_archive('deposit:' || new.external_order_number, new.closed_at); return null; end $$;
create function case_closed() returns trigger language plpgsql security definer set search_path = engine, pg_temp as
$$ begin perform await_archive(new.workflow_id, new.closed_at); return null; end $$;
create trigger to_archive after update of closed_at on deposit for each row
  when (new.closed_at is not null and new.closed_at is distinct from old.closed_at) execute function deposit_closed();
create trigger to_archive_at_once after insert on deposit for each row when (new.closed_at is not null) execute function deposit_closed();
create trigger to_archive after update of closed_at on review_case for each row
  when (new.closed_at is not null and new.closed_at is distinct from old.closed_at) execute function case_closed();
create trigger to_archive_at_once after insert on review_case for each row when (new.closed_at is not null) execute function case_closed();

select await_archive('deposit:' || external_order_number, closed_at) from deposit where closed_at is not null;
select await_archive(workflow_id, closed_at) from review_case where closed_at is not null;

-- Takes a workflow off the queue, unless it was closed anew meanwhile. Refused while neither archived nor lost.
create function archive_done(of_workflow text, as_of timestamptz) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp as $$
begin
  if not exists (select from archive a where a.workflow_id = of_workflow)
     and not exists (select from archive_lost l where l.workflow_id = of_workflow) then
    raise exception '% is not archived', of_workflow using errcode = 'P0E21';
  end if;
  delete from archive_due d where d.workflow_id = of_workflow and d.closed_at <= as_of;
end $$;

-- Chain -----------------------------------------------------------------------------------------------------------------

-- Explicit text: the same bytes in every version and every language. Times are microseconds since 1970.
create function archive_line(a archive) returns text language sql stable as $$
  select concat_ws('|', a.n, a.workflow_id, a.run_id, a.workflow_type, a.status,
    (extract(epoch from a.closed_at) * 1000000)::bigint, a.events, encode(a.history_hash, 'hex'),
    coalesce(encode(a.bundle_hash, 'hex'), ''), a.sdk, a.version, (extract(epoch from a.archived_at) * 1000000)::bigint) $$;

-- Answers the number of the run's row, which may have stood already.
create function append_archive(of_workflow text, of_run text, of_type text, as_status text, closed timestamptz, event_count integer,
                               history bytea, bundle bytea, by_sdk text, by_version text) returns bigint
language plpgsql volatile security definer set search_path = engine, pg_temp as $$
declare head archive; fresh archive;
begin
  -- An answer must mean "on disk", whatever the session asked for.
  if current_setting('synchronous_commit') <> 'remote_apply' then perform set_config('synchronous_commit', 'on', true); end if;
  perform pg_advisory_xact_lock(hashtext('engine.archive'));
  select * into fresh from archive a where a.run_id = of_run;
  if found then return fresh.n; end if;
  select * into head from archive order by n desc limit 1;
  fresh.n := coalesce(head.n, 0) + 1;
  fresh.prev := coalesce(head.hash, sha256('engine.archive'));
  fresh.workflow_id := of_workflow;  fresh.run_id := of_run;  fresh.workflow_type := of_type;  fresh.status := as_status;
  fresh.closed_at := closed;  fresh.events := event_count;  fresh.history_hash := history;  fresh.bundle_hash := bundle;
  fresh.sdk := by_sdk;  fresh.version := by_version;  fresh.archived_at := clock_timestamp();
  fresh.hash := sha256(fresh.prev || convert_to(archive_line(fresh), 'UTF8'));
  insert into archive select fresh.*;
  return fresh.n;
end $$;

-- A chain cannot see that its own tail was cut: compare the last n and hash with a copy kept elsewhere.
create function verify_archive() returns table (n bigint, ok boolean) language sql stable set search_path = engine, pg_temp as $$
  select a.n, a.n = coalesce(lag(a.n) over w, 0) + 1 and a.prev = coalesce(lag(a.hash) over w, sha256('engine.archive'))
              and a.hash = sha256(a.prev || convert_to(archive_line(a), 'UTF8'))
    from archive a window w as (order by a.n) $$;

-- By the tables themselves, whatever the queue says: closed, and no run of it archived.
create view unarchived as
  select w.workflow_id, max(w.closed_at) as closed_at, l.noted_at as lost_at
    from (select 'deposit:' || external_order_number as workflow_id, closed_at from deposit where closed_at is not null
          union all
          select workflow_id, closed_at from review_case where closed_at is not null) w
    left join archive_lost l using (workflow_id)
   where not exists (select from archive a where a.workflow_id = w.workflow_id)
   group by w.workflow_id, l.noted_at;

-- Grants ----------------------------------------------------------------------------------------------------------------

revoke execute on function await_archive(text, timestamptz), archive_done(text, timestamptz), archive_line(archive), verify_archive(),
  append_archive(text, text, text, text, timestamptz, integer, bytea, bytea, text, text), deposit_closed(), case_closed() from public;
grant select, insert on archive_object to app_worker;
grant select on archive, archive_lost, archive_due to app_worker;
grant insert (workflow_id, run_id, closed_at) on archive_lost to app_worker;
grant update (looks, look_at) on archive_due to app_worker;
grant execute on function archive_done(text, timestamptz),
  append_archive(text, text, text, text, timestamptz, integer, bytea, bytea, text, text) to app_worker;
grant select on archive, archive_object, archive_lost, archive_due, unarchived to auditor;
grant execute on function archive_line(archive), verify_archive() to auditor;
