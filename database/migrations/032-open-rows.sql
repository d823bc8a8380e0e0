-- What one credit, step or case looks up does not grow with what is open beside it (docs/internals/growth.md#what-is-looked-up). An
-- index of open rows is nearly empty when its table is analyzed at a quiet moment, and from then on PostgreSQL finds it cheaper to read
-- than the primary key, also when payments pile up: each credit then read all that waited.
-- In the order in which the relay goes through them, so that a page is no more than its rows.
create index concurrently if not exists callback_open on engine.callback (received_at, id) where outcome is null;
-- Few: messages of orders that are not known.
create index concurrently if not exists callback_kept on engine.callback (external_order_number) where num_nulls(outcome) = 1 and not acked;

-- In one transaction:
set local search_path = engine, pg_temp;

create function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- PL/pgSQL, because it keeps its plans: a function in SQL that is not inlined is planned at every call. Otherwise as before.
create or replace function await_archive(of_workflow text, closed timestamptz) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  insert into archive_due values (of_workflow, closed, 0, clock_timestamp() + interval '2 seconds')
  on conflict (workflow_id) do update
     set closed_at = greatest(archive_due.closed_at, excluded.closed_at), looks = 0, look_at = excluded.look_at;
end $$;

create or replace function payer_name_for_placement(of_order text, out payer_name bytea, out payer_name_key text)
language plpgsql stable security definer set search_path = engine, pg_temp set jit = off as $$
declare d record;
begin
  select o.payer_name, o.payer_name_key, o.state into d from deposit o where o.external_order_number = of_order;
  if d.state = 'PLACING' then
    payer_name := d.payer_name;  payer_name_key := d.payer_name_key;
  end if;
end $$;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

create or replace function archive_put(of_hash bytea, as_kind text, packed bytea) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  insert into archive_object (hash, kind, bytes) values (of_hash, as_kind, packed) on conflict do nothing;
end $$;

create or replace function raised(of_callback bigint, in_case boolean) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  update callback c
     set raised_at = clock_timestamp(),
         outcome = coalesce(c.outcome, (select 'review:' || v.workflow_id from review_case v
                                         where in_case and v.workflow_id = case_of(c.id, c.uid) and v.callback = c.id))
   where c.id = of_callback and c.acked;
end $$;

-- One row by its key. num_nulls(x) = 1 says "x is null" to PostgreSQL, and no more: it is the condition of no index, so that none is
-- read from end to end for it.
select pg_temp.change('credit(jsonb)', 'where c.id = s.inbox_id and c.outcome is null', 'where c.id = s.inbox_id and num_nulls(c.outcome) = 1');
select pg_temp.change('give_to_people(bigint, text, text, boolean, boolean)', 'c.id = of_inbox and c.outcome is null', 'c.id = of_inbox and num_nulls(c.outcome) = 1');
select pg_temp.change('open_case(bigint)', 'c.acked and c.outcome is null', 'c.acked and num_nulls(c.outcome) = 1');
select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', 'c.id = it.callback and c.outcome is null', 'c.id = it.callback and num_nulls(c.outcome) = 1');
select pg_temp.change('waits_for_voucher(bigint)', 'c.id = of_callback and c.outcome is null', 'c.id = of_callback and num_nulls(c.outcome) = 1');
select pg_temp.change('park_money(text)', 'v.workflow_id = of_case and v.closed_at is null', 'v.workflow_id = of_case and num_nulls(v.closed_at) = 1');
select pg_temp.change('show_proposal(text, bigint)', 'v.workflow_id = of_case and v.closed_at is null', 'v.workflow_id = of_case and num_nulls(v.closed_at) = 1');
select pg_temp.change('hand_over(text, text)', 'was_held_by and v.closed_at is null', 'was_held_by and num_nulls(v.closed_at) = 1');

reset role;
revoke create on schema engine from engine_owner;
drop function pg_temp.change(regprocedure, text, text);
