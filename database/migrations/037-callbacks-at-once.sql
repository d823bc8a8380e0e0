-- Callbacks that wait at the same time share one statement and one commit (docs/decisions/0019-callbacks-in-batches.md).
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Messages that become `first` if nothing stands against them, and repeats of acknowledged ones, which are counted without the deposit's
-- lock. Each statement takes all of them: one of sixteen costs a quarter of one alone.
-- items: [{of_order, content, says, bytes, by_key, …}], bytes as '\x…'; a row tells of an item by its position. The order has to be sent by
-- `sent_by_ms`; `age_ms` is the stamp's, by the provider's clock. No row: decide() of intake/route-callback.ts has to look at the message
-- alone, and nothing was changed. That is also the answer where it would have to wait, so no batch waits for another:
--  - A repeat is counted on its row, and anything else needs its deposit: somebody else may have locked it.
--  - Several orders share the row of a stamp of ours, and two messages of one batch an order.
-- One wait cannot be skipped: for a transaction that writes the same content, as one of an unknown order, and does not end. A batch gives up
-- after half a second (55P03), and each of its messages is looked at alone.
-- What is looked up is a subquery or has a limit, so that it is looked up by an index for each message, however many rows there are.
create function receive_firsts(items jsonb) returns table (ord bigint, did text, c callback)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off set plan_cache_mode = force_generic_plan set lock_timeout = '500ms' as $$
#variable_conflict use_column
declare
  r record;
  repeats bigint[] := '{}';
  free text[];
begin
  for r in
    select x.n, x.by_key, x.at_ms, x.copies, k.id
      from rows from (jsonb_to_recordset(items) as (of_order text, content bytea, by_key text, at_ms bigint, copies integer))
           with ordinality x(of_order, content, by_key, at_ms, copies, n)
     cross join lateral (select k.id from callback k where k.external_order_number = x.of_order and k.content_hash = x.content and k.acked limit 1) k
  loop
    repeats := repeats || r.n;
    return query select r.n, 'repeat', k from callback k where k.id = r.id for no key update skip locked;
    if found then perform count_attempt(r.id, r.by_key, r.at_ms, r.copies); end if;
  end loop;

  free := array(select d.external_order_number from deposit d
                 where d.external_order_number = any(array(select x.i->>'of_order' from jsonb_array_elements(items) with ordinality x(i, n)
                                                            where x.n <> all(repeats)))
                   for no key update skip locked);
  -- From here on: what the former holders of the locks wrote can be seen.
  return query
    with item as materialized (
      select distinct on (x.of_order) x.*
        from rows from (jsonb_to_recordset(items) as (of_order text, content bytea, says jsonb, bytes bytea, by_key text, at_ms bigint, copies integer,
                 age_ms double precision, sent_by_ms double precision, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea))
               with ordinality x(of_order, content, says, bytes, by_key, at_ms, copies, age_ms, sent_by_ms, by_seal, by_seal_key, at_sealed_ms, by_mac, n)
       cross join lateral (
         select d.settings from deposit d
          where d.external_order_number = x.of_order and d.bound_callback is null
            and d.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID') limit 1) d
       where x.of_order = any(free) and x.says is not null and x.age_ms <= (d.settings->>'listeningWindowMs')::bigint
         and (select count(*) from callback k where k.external_order_number = x.of_order and k.content_hash = x.content) = 0
         and (select count(*) from own_stamp s where s.key_id = x.by_key and s.timestamp_ms = x.at_ms) = 0
         -- As arriving() has it: the content that came with this stamp first.
         and coalesce((
           select f.content_hash from (
             (select s.content_hash from callback_stamp s
               where s.key_id = x.by_key and s.timestamp_ms = x.at_ms and s.external_order_number = x.of_order)
             union all
             (select k.content_hash from callback k join callback_attempt a on a.callback = k.id
               where k.external_order_number = x.of_order and a.key_id = x.by_key and a.timestamp_ms = x.at_ms order by a.at, k.id limit 1)) f limit 1)
           = x.content, true)
         and (select (extract(epoch from min(a.started_at)) * 1000)::bigint from placement_attempt a
               where a.external_order_number = x.of_order and a.answer->>'cause' is distinct from 'ADOPTED') <= x.sent_by_ms
       order by x.of_order, x.n),
    written as (
      insert into callback as k (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, attempts,
                                 seal, seal_key, sealed_ms, vouched_by)
      select i.of_order, i.of_order, i.says->>'transactionCode', i.content, i.says, i.bytes, 'first', true, i.copies, i.by_seal, i.by_seal_key, i.at_sealed_ms,
             verify_mac(i.of_order, i.content, i.says, i.bytes, 'first', i.by_key, i.at_ms, i.by_seal_key, i.at_sealed_ms, i.by_mac)
        from item i where is_message(i.by_key, i.at_ms, i.by_seal, i.by_seal_key, i.at_sealed_ms, i.copies)
      returning k as kept, k.id, k.external_order_number as of_order),
    attempted as (
      insert into callback_attempt (callback, n, key_id, timestamp_ms)
      select w.id, s.n, i.by_key, i.at_ms from written w join item i using (of_order) cross join generate_series(1, least(i.copies, 50)) s(n)),
    stamped as (
      insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
      select i.by_key, i.at_ms, i.of_order, i.content from item i on conflict do nothing),
    bound as (update deposit d set bound_callback = w.id from written w where d.external_order_number = w.of_order)
    select i.n, 'first', w.kept from written w join item i using (of_order);
end $$;

-- True, or refused.
create function is_message(by_key text, at_ms bigint, by_seal bytea, by_seal_key text, at_sealed_ms bigint, copies integer) returns boolean
language plpgsql immutable set search_path = engine, pg_temp as $$
begin
  if num_nulls(by_key, at_ms, by_seal, by_seal_key, at_sealed_ms) > 0 or (copies between 1 and 1000) is not true then
    raise exception 'a message has a stamp and a seal' using errcode = 'P0E60';
  end if;
  return true;
end $$;

revoke execute on function receive_firsts(jsonb), is_message(text, bigint, bytea, text, bigint, integer) from public;
grant execute on function receive_firsts(jsonb) to app_api;

reset role;
revoke create on schema engine from engine_owner;
