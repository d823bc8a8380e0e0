-- What a login had put aside stays when the login is gone: steps that it wrote without a proof, values that nobody can read
-- again, times that no query can subtract (docs/internals/threat-model.md#what-was-put-aside).
-- Only to find such times beside the traffic; dropped below.
create index concurrently if not exists deposit_odd_times on engine.deposit (external_order_number)
  where not (expires_at between '2000-01-01Z' and '9999-01-01Z' and listening_until between '2000-01-01Z' and '9999-01-01Z');

-- In one transaction:
set local search_path = engine, pg_temp;

create function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- Locks in the order of those who work: steps, cases, deposits, and what comes of them.

-- Steps -------------------------------------------------------------------------------------------------------------------
-- Whether engine.take_step() wrote it. Before 021-contract.sql the API's login wrote steps itself, in whose name it liked: as
-- soon as messages have to be vouched for, none of these moves money. A database that never was without the contract has none.
do $$ begin
  if (select max(m.applied_at) - min(m.applied_at) < interval '1 minute' and count(*) = 2 from schema_migration m
       where m.name in ('003-roles.sql', '021-contract.sql')) then
    alter table decision add column by_proof boolean default true;
    alter table decision alter column by_proof drop default;
  else
    alter table decision add column by_proof boolean;
  end if;
end $$;
create function note_proof() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin new.by_proof := current_user = 'engine_owner'; return new; end $$;
revoke execute on function note_proof() from public;
create trigger proof before insert on decision for each row execute function note_proof();

-- Sizes -------------------------------------------------------------------------------------------------------------------
-- PostgreSQL keeps values of up to 1 GB, and whoever reads a page of such rows runs out of time or memory: the relay, an API, the
-- registration of a key. Twice what a message may have; and only where the value is written, so that no row of before is stuck.
create function refuse_size() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin raise exception 'engine.%: a value that is larger than any honest one', tg_table_name using errcode = 'P0E57'; end $$;
revoke execute on function refuse_size() from public;

create trigger sizes before insert on review_case for each row when (octet_length(new.reason) > 32768 or octet_length(new.detail) > 32768)
  execute function refuse_size();
create trigger sizes before insert on deposit for each row when (octet_length(new.settings::text) > 32768
  or octet_length(new.mtc_amount::text) > 64 or octet_length(new.total_price::text) > 64 or octet_length(new.fingerprint) > 32768
  or octet_length(new.payer_name) > 32768 or octet_length(new.payer_name_key) > 32768) execute function refuse_size();
create trigger sizes_of_answer before update of redirect_url, advertisement_code, refusal, review_reason on deposit for each row when (
  octet_length(new.redirect_url) > 32768 or octet_length(new.advertisement_code) > 32768 or octet_length(new.refusal) > 32768
  or octet_length(new.review_reason) > 32768) execute function refuse_size();
create trigger sizes before insert or update of answer on placement_attempt for each row when (octet_length(new.answer::text) > 32768)
  execute function refuse_size();
create trigger sizes before insert on callback for each row when (octet_length(new.data::text) > 32768
  or octet_length(new.external_order_number) > 32768 or octet_length(new.review_reason) > 32768 or octet_length(new.seal) > 32768
  or octet_length(new.seal_key) > 32768) execute function refuse_size();
create trigger sizes_of_routing before update of review_reason on callback for each row when (octet_length(new.review_reason) > 32768)
  execute function refuse_size();
create trigger sizes before insert on callback_attempt for each row when (octet_length(new.key_id) > 32768) execute function refuse_size();
create trigger sizes before insert on callback_stamp for each row when (octet_length(new.content_hash) <> 32 or octet_length(new.key_id) > 32768)
  execute function refuse_size();
create trigger sizes before insert on own_stamp for each row when (octet_length(new.key_id) > 32768) execute function refuse_size();
create trigger sizes before insert on archive_lost for each row when (octet_length(new.run_id) > 32768) execute function refuse_size();

-- Times -------------------------------------------------------------------------------------------------------------------
-- A check is asked at every change of a row: with an end that no calendar has, from before, no payment could be bound to it. And
-- PostgreSQL makes no number of an infinite time: one such row stopped the relay's look at all deposits.
alter table deposit drop constraint times;
do $$ begin
  if exists (select from deposit where not (expires_at between '2000-01-01Z' and '9999-01-01Z' and listening_until between '2000-01-01Z' and '9999-01-01Z')) then
    alter table deposit disable trigger kept;
    update deposit d set expires_at = t.created_at + t.pays, listening_until = t.created_at + t.pays + t.listens
      from (select o.external_order_number as n, o.created_at,
                   coalesce(substring(o.settings->>'paymentWindowMs' from '^[0-9]{1,12}$')::bigint, 0) * interval '1 millisecond' as pays,
                   coalesce(substring(o.settings->>'listeningWindowMs' from '^[0-9]{1,12}$')::bigint, 0) * interval '1 millisecond' as listens
              from deposit o) t
     where t.n = d.external_order_number
       and not (d.expires_at between '2000-01-01Z' and '9999-01-01Z' and d.listening_until between '2000-01-01Z' and '9999-01-01Z');
    alter table deposit enable trigger kept;
  end if;
end $$;
drop index deposit_odd_times;
create function refuse_time() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin
  raise exception 'deposit %: a time that no calendar has', new.external_order_number using errcode = '23514', constraint = 'times', table = 'deposit';
end $$;
revoke execute on function refuse_time() from public;
create trigger times before insert or update of expires_at, listening_until on deposit for each row when (not (
  new.expires_at between '2000-01-01Z' and '9999-01-01Z' and new.listening_until between '2000-01-01Z' and '9999-01-01Z')) execute function refuse_time();

-- Functions ---------------------------------------------------------------------------------------------------------------
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

select pg_temp.change('decision_refused(case_now, decision, decision)', $$  if p.operator = k.operator and$$,
  $$  if exists (select from seal_demand) and (p.by_proof and k.by_proof) is not true then
    return ('unproven', 'a step from before steps were proven: it has to be taken again')::refused; end if;
  if p.operator = k.operator and$$);

-- Nor does it use up a transaction code: a payment that really came has it. Whoever asks sees the demand.
select pg_temp.change('park_money(text)', 'posting := null;  code_stands := false;', 'perform demand_now();  posting := null;  code_stands := false;');
select pg_temp.change('park_money(text)', 'select v.parked, c.deposit,', 'select v.parked, c.deposit, is_vouched(c.vouched_by) as is_vouched,');
select pg_temp.change('park_money(text)', 'elsif m.code is not null then', 'elsif m.code is not null and m.is_vouched then');

-- Whoever counts on and on reaches the end of the numbers, and no repeat was answered any more.
select pg_temp.change('count_attempt(bigint, text, bigint, integer, bytea)', 'c.attempts + copies', 'least(c.attempts::bigint + copies, 2147483647)::integer');
select pg_temp.change('reroute(bigint, text, text, text, bigint, integer)', 'x.attempts + copies', 'least(x.attempts::bigint + copies, 2147483647)::integer');

reset role;
revoke create on schema engine from engine_owner;
drop function pg_temp.change(regprocedure, text, text);
