-- Callbacks that wait at the same time share one statement and one commit (docs/decisions/0019-callbacks-in-batches.md).
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- receive_first() for each item, by its position; items: [{of_order, content, says, bytes, by_key, …}], bytes as '\x…'. No row: nothing was
-- changed, and the item is looked at alone. That is also the answer for an item that would wait, so no batch waits for another:
--  - A repeat is counted on its row, and anything else needs its deposit: somebody else may have locked it.
--  - Several orders share the row of a stamp of ours.
create function receive_firsts(items jsonb) returns table (ord bigint, did text, c callback)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
#variable_conflict use_column
declare i record;
begin
  for i in
    select x.* from rows from (jsonb_to_recordset(items) as (of_order text, content bytea, says jsonb, bytes bytea, by_key text, at_ms bigint,
             copies integer, age_ms double precision, sent_by_ms double precision, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea))
           with ordinality x(of_order, content, says, bytes, by_key, at_ms, copies, age_ms, sent_by_ms, by_seal, by_seal_key, at_sealed_ms, by_mac, n)
  loop
    perform from callback k where k.external_order_number = i.of_order and k.content_hash = i.content and k.acked
      for no key update skip locked;
    if not found then
      perform from deposit d where d.external_order_number = i.of_order for no key update skip locked;
      -- After the lock was had: what its former holder wrote can be seen.
      continue when not found
        or exists (select from callback k where k.external_order_number = i.of_order and k.content_hash = i.content and k.acked)
        or exists (select from own_stamp s where s.key_id = i.by_key and s.timestamp_ms = i.at_ms);
    end if;
    return query select i.n, f.did, f.c
      from receive_first(i.of_order, i.content, i.says, i.bytes, i.by_key, i.at_ms, i.copies, i.age_ms, i.sent_by_ms, i.by_seal, i.by_seal_key,
                         i.at_sealed_ms, i.by_mac) f;
  end loop;
end $$;

revoke execute on function receive_firsts(jsonb) from public;
grant execute on function receive_firsts(jsonb) to app_api;

reset role;
revoke create on schema engine from engine_owner;
