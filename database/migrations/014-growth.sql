-- Growth (docs/growth.md): what is looked up has an index, and what nothing needs any more goes by one door.
create index concurrently if not exists outgoing_by_order      on engine.outgoing (external_order_number);
create index concurrently if not exists outgoing_delivered     on engine.outgoing (delivered_at) where delivered_at is not null;
create index concurrently if not exists decision_by_callback   on engine.decision (callback);
create index concurrently if not exists review_case_by_callback on engine.review_case (callback);
create index concurrently if not exists review_case_by_posting on engine.review_case (posting) where posting is not null;
create index concurrently if not exists archive_due_by_age     on engine.archive_due (closed_at);
-- Few: what is no deposit's own payment.
create index concurrently if not exists callback_apart         on engine.callback (external_order_number, receipt) where receipt <> 'first';
create index concurrently if not exists transaction_parked     on ledger.transaction (deposit, id) where kind = 'suspense';

-- In one transaction:
set local role ledger_owner;

-- Every posting of a deposit, each kind by its own index.
create function ledger.postings_of(of_deposit text) returns setof ledger.transaction language sql stable as $$
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind = 'credit'
  union all
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind = 'suspense'
  union all
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind in ('release', 'reversal') $$;
grant execute on function ledger.postings_of(text) to ledger_reader;

reset role;
set local search_path = engine, pg_temp;

-- What may go ----------------------------------------------------------------------------------------------------------
-- A stamp stands between an old ticket and a deposit that would still take its message. A message that is older than the
-- listening window is refused by its age alone (STALE), with a row here or without. A day more, because clocks differ; and
-- never before a week, whatever the windows are.

-- What was stamped before this is stale for a deposit that listens so long; both in milliseconds, the answer since 1970.
create function stale_before(listening_ms bigint) returns bigint language sql volatile as $$
  select (extract(epoch from clock_timestamp()) * 1000)::bigint - greatest(listening_ms + 24 * 3600000, 7 * 24 * 3600000) $$;

-- Own stamps belong to no order: the longest window of all open deposits counts. Null: one of them has none.
create function own_stale_before() returns bigint language sql volatile set search_path = engine, pg_temp set enable_seqscan = off set jit = off as $$
  select case when count(*) = count(d.ms) then stale_before(coalesce(max(d.ms), 0)) end
    from (select (settings->>'listeningWindowMs')::bigint as ms from deposit
           where state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED', 'CREDITING', 'IN_REVIEW')) d $$;

-- The stamp of a payment that a deposit owns is evidence too: it goes only where the attempt says the same.
create function stamp_may_go(of_key text, at_ms bigint, of_order text, content bytea) returns boolean
language sql volatile set search_path = engine, pg_temp set enable_seqscan = off set jit = off as $$
  select at_ms < stale_before(0)
     and not exists (select from deposit d where d.external_order_number = of_order and d.closed_at is null
                        and at_ms < stale_before((d.settings->>'listeningWindowMs')::bigint) is not true)
     and not exists (select from callback c where c.external_order_number = of_order and c.content_hash = content and c.receipt = 'first'
                        and not exists (select from callback_attempt a
                                         where a.callback = c.id and a.key_id = of_key and a.timestamp_ms = at_ms)) $$;

-- A notification that was delivered, of a deposit whose workflow has ended and lies in the archive: nobody writes it again.
create function outgoing_may_go(of_order text, delivered timestamptz) returns boolean
language sql volatile set search_path = engine, pg_temp set enable_seqscan = off set jit = off as $$
  select coalesce(delivered < clock_timestamp() - interval '7 days', false)
     and exists (select from deposit d where d.external_order_number = of_order and d.closed_at is not null)
     and exists (select from archive a where a.workflow_id = 'deposit:' || of_order) $$;

-- Walls, for the owner too ------------------------------------------------------------------------------------------------

create function keep_stamps() returns trigger language plpgsql set search_path = engine, pg_temp as $$ begin
  if exists (select from gone g where not stamp_may_go(g.key_id, g.timestamp_ms, g.external_order_number, g.content_hash)) then
    raise exception 'engine.%: a row is still needed', tg_table_name using errcode = 'P0E01'; end if;
  return null; end $$;
create function keep_own_stamps() returns trigger language plpgsql set search_path = engine, pg_temp as $$ begin
  if (select max(g.timestamp_ms) from gone g) >= coalesce(own_stale_before(), 0) then
    raise exception 'engine.%: a row is still needed', tg_table_name using errcode = 'P0E01'; end if;
  return null; end $$;
create function keep_outgoing() returns trigger language plpgsql set search_path = engine, pg_temp as $$ begin
  if exists (select from gone g where not outgoing_may_go(g.external_order_number, g.delivered_at)) then
    raise exception 'engine.%: a row is still needed', tg_table_name using errcode = 'P0E01'; end if;
  return null; end $$;
-- Replaced and not dropped: that would wait for every reader.
create or replace trigger append_only before update or truncate on callback_stamp for each statement execute function forbid();
create trigger append_only before truncate on own_stamp for each statement execute function forbid();
create trigger append_only before truncate on outgoing  for each statement execute function forbid();
create trigger needed after delete on callback_stamp referencing old table as gone for each statement execute function keep_stamps();
create trigger needed after delete on own_stamp      referencing old table as gone for each statement execute function keep_own_stamps();
create trigger needed after delete on outgoing       referencing old table as gone for each statement execute function keep_outgoing();

-- The door ----------------------------------------------------------------------------------------------------------------

-- Deletes what is older than this and may go, at most so many rows of each table, and answers how many; as many as were
-- allowed means that there are more. Several may run at once.
create function prune(older_than interval, at_most integer) returns table (what text, pruned integer)
language plpgsql volatile security definer set search_path = engine, pg_temp set enable_seqscan = off set jit = off as $$
declare
  n integer := least(at_most, 10000);
  old_ms bigint := (extract(epoch from clock_timestamp() - older_than) * 1000)::bigint;
  own_ms bigint := own_stale_before();
  key text;
begin
  old_ms := least(old_ms, stale_before(0));
  what := 'callback_stamp';  pruned := 0;
  select min(s.key_id) into key from callback_stamp s;
  while key is not null loop
    with old as (
      select s.ctid as at from callback_stamp s
       where s.key_id = key and s.timestamp_ms < old_ms
         and stamp_may_go(s.key_id, s.timestamp_ms, s.external_order_number, s.content_hash)
       order by s.timestamp_ms limit n - pruned for update skip locked),
    gone as (delete from callback_stamp s using old where s.ctid = old.at returning 1)
    select pruned + count(*) into pruned from gone;
    select min(s.key_id) into key from callback_stamp s where s.key_id > key;
  end loop;
  return next;

  what := 'own_stamp';  pruned := 0;
  if own_ms is not null then
    own_ms := least(own_ms, old_ms);
    select min(s.key_id) into key from own_stamp s;
    while key is not null loop
      with old as (
        select s.ctid as at from own_stamp s where s.key_id = key and s.timestamp_ms < own_ms
         order by s.timestamp_ms limit n - pruned for update skip locked),
      gone as (delete from own_stamp s using old where s.ctid = old.at returning 1)
      select pruned + count(*) into pruned from gone;
      select min(s.key_id) into key from own_stamp s where s.key_id > key;
    end loop;
  end if;
  return next;

  what := 'outgoing';
  with old as (
    select o.ctid as at from outgoing o
     where o.delivered_at < clock_timestamp() - older_than and outgoing_may_go(o.external_order_number, o.delivered_at)
     order by o.delivered_at limit n for update skip locked),
  gone as (delete from outgoing o using old where o.ctid = old.at returning 1)
  select count(*) into pruned from gone;
  return next;
end $$;

revoke execute on function stale_before(bigint), own_stale_before(), stamp_may_go(text, bigint, text, bytea),
  outgoing_may_go(text, timestamptz), keep_stamps(), keep_own_stamps(), keep_outgoing(), prune(interval, integer) from public;
grant execute on function prune(interval, integer) to app_worker;
