-- A registered key refused what came without its MAC from then on, and credited what lay there before: a row that a login
-- had written while none was registered, or in a transaction that was open since, or whose snapshot was older. So a row
-- says which registered key vouches for it, and the machine credits no other (docs/callbacks.md#the-mac).
set local search_path = engine, pg_temp;

create function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- Times that a calendar has: "infinity" was one, and nothing that shows a deposit can tell it. Of new rows and changes only.
-- The deposit before its callbacks, as every path locks them.
alter table deposit add constraint times check (
  expires_at between '2000-01-01Z' and '9999-01-01Z' and listening_until between '2000-01-01Z' and '9999-01-01Z') not valid;

-- By whose MAC it came, or who has verified its seal since (npm run seal-key -- --register). Nobody else writes it.
alter table callback add column vouched_by text;

-- Since when a row has to be vouched for: once the key is there and what waits was verified. Between the two a MAC is noted, and
-- none is demanded. One row at most, and it stays.
create table seal_demand (
  one boolean primary key default true check (one),
  at  timestamptz not null default clock_timestamp());
insert into seal_demand (one) select true where exists (select from seal_mac);
create trigger append_only before update or delete or truncate on seal_demand for each statement execute function forbid();
grant select on seal_demand to engine_owner;

-- The last key stays: without any the database would take nothing.
create function keep_a_key() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin
  if not exists (select from seal_mac) then
    raise exception 'the last key of the seals stays: register another one first' using errcode = 'P0E01'; end if;
  return null;
end $$;
revoke execute on function keep_a_key() from public;
create trigger a_key_stays after delete on seal_mac for each statement execute function keep_a_key();
create trigger append_only before update or truncate on seal_mac for each statement execute function forbid();

-- Windows that are a number: pruning waits for a deposit that has none, and its order can be placed and never be shown.
select pg_temp.change('refuse_numbers()', $$if new.mtc_amount >= 1e20 or$$,
  $$if (new.settings->>'paymentWindowMs' ~ '^[0-9]{1,13}$' and new.settings->>'listeningWindowMs' ~ '^[0-9]{1,13}$') is not true
     or new.mtc_amount >= 1e20 or$$);

-- One person is enough up to the limit of a deposit that was there before its message: the API's login may reserve one, with any
-- limit, for a message that is kept as unknown, or of an order whose row was lost. The stamp by the provider's clock, as far off
-- as it is believed, and a minute.
select pg_temp.change('admit_step()', $$(d.settings->>'reviewLimit')::numeric into$$,
  $$(d.settings->>'reviewLimit')::numeric and d.created_at <= c.received_at
         and not exists (select from callback_attempt a where a.callback = c.id and a.n = 1
                            and a.timestamp_ms < date_part('epoch', d.created_at) * 1000 - 660000) into$$);

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

do $$
declare
  before text := pg_get_viewdef('case_now'::regclass);
  after text := regexp_replace(before, $x$COALESCE\(\(?d\.settings ->> 'reviewLimit'::text\)?, '0'::text\)$x$,
                               $x$case when d.created_at <= c.received_at
         and not exists (select from engine.callback_attempt a where a.callback = c.id and a.n = 1
                            and a.timestamp_ms < date_part('epoch', d.created_at) * 1000 - 660000) then \& else '0'::text end$x$);
begin
  if after = before then raise exception 'case_now does not say reviewLimit: %', before; end if;
  execute 'create or replace view case_now as ' || after;
end $$;

-- What a statement reads has to be as it is now: a snapshot from before a key was registered, or taken away, does not see it.
create function demand_now() returns void language plpgsql volatile set search_path = engine, pg_temp as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'money, messages and steps need a read committed transaction' using errcode = '25000'; end if;
end $$;

-- As demand_mac(), and answers which key it is; null: none, and none is demanded yet. What is compared is hashed once more: how long that
-- takes says nothing of the MAC.
create function verify_mac(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, by_key text, at_ms bigint,
  by_seal_key text, at_sealed_ms bigint, by_mac bytea) returns text
language plpgsql volatile set search_path = engine, pg_temp as $$
declare
  k seal_mac;
  sealed bytea := convert_to(concat_ws('|', 'v1', as_receipt, of_order, encode(content, 'hex'), encode(sha256(bytes), 'hex'),
                                       coalesce(by_key, ''), coalesce(at_ms::text, ''), at_sealed_ms), 'UTF8');
begin
  perform demand_now();
  select * into k from seal_mac m where m.key = by_seal_key;
  if (sha256(by_mac) = sha256(sha256(k.outer_pad || sha256(k.inner_pad || sealed)))) is not true
     or says is not null and content is distinct from sha256(convert_to('[' || concat_ws(',',
          to_json(says->>'externalOrderNumber'), to_json(says->>'transactionCode'), to_json(says->>'transactionAmount'),
          to_json(says->>'currencyCode'), to_json(says->>'paymentPrice'), to_json(says->>'transactionCreateTime'),
          to_json(says->>'paymentFinishedTime')) || ']', 'UTF8')) then
    if not exists (select from seal_demand) then return null; end if;
    raise exception 'a message of % without the MAC of a registered key', of_order using errcode = 'P0E61';
  end if;
  return k.key;
end $$;

-- The doors inside write down who vouches; those that open them are as they were.
select pg_temp.change('write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint)',
  'at_sealed_ms bigint)', 'at_sealed_ms bigint, by_registered text)');
select pg_temp.change('write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, text)',
  'seal, seal_key, sealed_ms)', 'seal, seal_key, sealed_ms, vouched_by)');
select pg_temp.change('write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, text)',
  $$at_sealed_ms)
  returning$$, $$at_sealed_ms, by_registered)
  returning$$);
select pg_temp.change('receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, bytea)',
  $$begin
  perform demand_mac(of_order,$$, $$declare by_registered text;
begin
  by_registered := verify_mac(of_order,$$);
select pg_temp.change('receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, bytea)',
  'by_seal_key, at_sealed_ms);', 'by_seal_key, at_sealed_ms, by_registered);');
select pg_temp.change('write_restored(text, text, text, bytea, text, bigint)', 'at_sealed_ms bigint)', 'at_sealed_ms bigint, by_registered text)');
select pg_temp.change('write_restored(text, text, text, bytea, text, bigint, text)', 'seal, seal_key, sealed_ms)', 'seal, seal_key, sealed_ms, vouched_by)');
select pg_temp.change('write_restored(text, text, text, bytea, text, bigint, text)', $$by_seal_key, at_sealed_ms)
    on conflict$$, $$by_seal_key, at_sealed_ms, by_registered)
    on conflict$$);
select pg_temp.change('receive_restored(text, text, text, bytea, text, bigint, bytea)', $$begin
  perform demand_mac(of_order,$$, $$declare by_registered text;
begin
  by_registered := verify_mac(of_order,$$);
select pg_temp.change('receive_restored(text, text, text, bytea, text, bigint, bytea)',
  'by_seal_key, at_sealed_ms);', 'by_seal_key, at_sealed_ms, by_registered);');
drop function write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  write_restored(text, text, text, bytea, text, bigint),
  demand_mac(text, bytea, jsonb, bytea, text, text, bigint, text, bigint, bytea);

-- Whether anybody may credit by a row: a registered key vouches for it, as soon as that is demanded. credit() has the same written
-- out, so that a batch asks for the keys once.
create function is_vouched(by_registered text) returns boolean language sql stable as $$
  select exists (select from seal_mac m where m.key = by_registered) or not exists (select from seal_demand) $$;

-- What was credited answers as ever, by the books: a login of before could write any outcome. What nobody vouches for is "busy",
-- which every worker tries again: the owner may still have its seal verified.
select pg_temp.change('credit(jsonb)', $$begin
  return query$$, $$begin
  perform demand_now();
  return query$$);
select pg_temp.change('credit(jsonb)', 'c.data, c.received_at from callback c', 'c.data, c.received_at, c.vouched_by from callback c');
select pg_temp.change('credit(jsonb)', $$and coalesce(c.outcome, '') not like 'review:%'$$, $$and coalesce(c.outcome, '') not like 'review:%'
       and ((c.vouched_by = any(array(select m.key from seal_mac m)) or not exists (select from seal_demand))
            or exists (select from ledger.transaction t where t.key = ('deposit:' || h.external_order_number || ':credit') collate "C"))$$);
select pg_temp.change('credit(jsonb)', $$or h.bound_callback is not null and c.id is null then 'busy'$$,
  $$or h.bound_callback is not null and c.id is null
                or c.id = i.inbox_id and c.outcome is null and (c.vouched_by = any(array(select m.key from seal_mac m)) or not exists (select from seal_demand)) is not true then 'busy'$$);

-- Whether that is why a credit is "busy".
create function waits_for_voucher(of_callback bigint) returns boolean
language plpgsql stable security definer set search_path = engine, pg_temp set jit = off as $$
begin return exists (select from callback c where c.id = of_callback and c.outcome is null and not is_vouched(c.vouched_by)); end $$;

-- Nor do people credit by what nobody vouches for. Money that has been in a wallet came in long ago.
select pg_temp.change('carry_out(text, bigint, bigint, text, text)', $$  if no.refusal is null and stage = 'bring in' then$$,
  $$  if no.refusal is null and p.decision = 'credit' and it.standing in ('nothing', 'unreadable', 'parked')
     and not (select is_vouched(c.vouched_by) from callback c where c.id = it.callback) then
    no := ('unproven', 'no registered key of the seals vouches for its inbox row')::refused;
  end if;
  if no.refusal is null and stage = 'bring in' then$$);

-- What people have decided about is nothing for the machine any more, also where nobody has noted that it came to a case: the
-- books alone would take it again, once the deposit's other payment was taken back.
select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', $$   where v.workflow_id = it.workflow_id;
  if$$, $$   where v.workflow_id = it.workflow_id;
  update callback c set outcome = 'review:' || it.workflow_id where c.id = it.callback and c.outcome is null;
  if$$);

-- 021-contract.sql writes the keys anew, and whoever looked before it waited saw none: 401.
alter function caller(bytea) volatile;
alter function operator_by(bytea) volatile;
-- Nor does a snapshot of before see that a person's key was revoked.
select pg_temp.change('operator_by(bytea)', $$begin
  select$$, $$begin
  perform demand_now();
  select$$);

revoke execute on function demand_now(), is_vouched(text),
  verify_mac(text, bytea, jsonb, bytea, text, text, bigint, text, bigint, bytea),
  write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, text),
  write_restored(text, text, text, bytea, text, bigint, text), waits_for_voucher(bigint) from public;
grant execute on function waits_for_voucher(bigint) to app_worker;
reset role;
revoke create on schema engine from engine_owner;
drop function pg_temp.change(regprocedure, text, text);

-- Logins that only look, or only append, cannot take all connections of the server. Who has set a limit keeps it.
do $$ declare r record; begin
  for r in select w.role, w.most from (values ('auditor', current_setting('max_connections')::int / 2), ('archiver', 10)) w(role, most)
             join pg_roles p on p.rolname = w.role and p.rolconnlimit = -1 loop
    -- Another database of the server may be migrated at the same moment.
    begin execute format('alter role %I connection limit %s', r.role, r.most);
    exception when internal_error or insufficient_privilege then null; end;
  end loop;
end $$;

-- Before PostgreSQL 15 everybody may create in `public`, which the sessions of people look into. Only who owns that schema may
-- end it: docs/database-roles.md.
do $$ begin
  revoke create on schema public from public;
exception when insufficient_privilege or invalid_schema_name then null;
end $$;
