-- PostgreSQL cannot verify the seal of an inbox row, so the logins of API and worker together could still mint: one wrote a
-- row with a seal that is none, the other had it credited. Beside the seal the API makes a MAC of the same text, by a key
-- that is derived from the seal's (config/inbox-seal.ts), and this the database does verify, once the owner has registered
-- a key (npm run seal-key -- --register). Until then nothing changes, so that APIs of before go on writing.
set local search_path = engine, pg_temp;

create table seal_mac (
  key       text primary key check (key ~ '^[0-9a-f]{16}$'),      -- the name of the seal's key
  inner_pad bytea not null check (length(inner_pad) = 64),        -- HMAC (RFC 2104): the MAC's key, padded, xor 0x36
  outer_pad bytea not null check (length(outer_pad) = 64),        -- and xor 0x5c
  at        timestamptz not null default clock_timestamp());
grant select on seal_mac to engine_owner;
-- Which keys there are, and no more.
grant select (key, at) on seal_mac to app_api, auditor;

-- What a deposit asked for and is judged by are finite decimals: NaN and Infinity are numbers to PostgreSQL, and larger than
-- any. Of new rows only.
create function refuse_numbers() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin
  if new.mtc_amount >= 1e20 or new.total_price >= 1e20 or exists (
       select from (select unnest(array[new.settings->>'feeBand', new.settings->>'reviewLimit', new.settings->>'creditCap']) as said
                    union all select f.value from jsonb_each_text(new.settings->'feeBands') f
                    union all select b.value from jsonb_each(new.settings->'rateBands') c cross join jsonb_each_text(c.value) b) s
        where s.said !~ '^[0-9]{1,20}([.][0-9]{1,20})?$') then
    raise exception 'deposit %: an amount or a setting is no finite decimal', new.external_order_number using errcode = 'P0E56';
  end if;
  return new;
end $$;
revoke execute on function refuse_numbers() from public;
create trigger numbers before insert on deposit for each row execute function refuse_numbers();

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Refuses what the API has not made. The MAC covers what the seal does; `says` is compared with its hash, as contentHash() of
-- mtpay/callback.ts makes it.
create function demand_mac(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, by_key text, at_ms bigint,
  by_seal_key text, at_sealed_ms bigint, by_mac bytea) returns void
language plpgsql volatile set search_path = engine, pg_temp as $$
declare
  k seal_mac;
  sealed bytea := convert_to(concat_ws('|', 'v1', as_receipt, of_order, encode(content, 'hex'), encode(sha256(bytes), 'hex'),
                                       coalesce(by_key, ''), coalesce(at_ms::text, ''), at_sealed_ms), 'UTF8');
begin
  if not exists (select from seal_mac) then return; end if;
  select * into k from seal_mac m where m.key = by_seal_key;
  if (by_mac = sha256(k.outer_pad || sha256(k.inner_pad || sealed))) is not true
     or says is not null and content is distinct from sha256(convert_to('[' || concat_ws(',',
          to_json(says->>'externalOrderNumber'), to_json(says->>'transactionCode'), to_json(says->>'transactionAmount'),
          to_json(says->>'currencyCode'), to_json(says->>'paymentPrice'), to_json(says->>'transactionCreateTime'),
          to_json(says->>'paymentFinishedTime')) || ']', 'UTF8')) then
    raise exception 'a message of % without the MAC of a registered key', of_order using errcode = 'P0E61';
  end if;
end $$;

-- The doors as they were are inside now, and each has one that takes a MAC before it; an API of before has none.
alter function receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint) rename to write_message;
alter function receive_restored(text, text, text, bytea, text, bigint) rename to write_restored;
revoke execute on function write_message(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  write_restored(text, text, text, bytea, text, bigint) from app_api;

create function receive(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint,
  copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea) returns setof callback
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  perform demand_mac(of_order, content, says, bytes, as_receipt, by_key, at_ms, by_seal_key, at_sealed_ms, by_mac);
  return query select * from write_message(of_order, content, says, bytes, as_receipt, reason, by_key, at_ms, copies, by_seal, by_seal_key, at_sealed_ms);
end $$;
create function receive(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint,
  copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint) returns setof callback
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  select * from receive(of_order, content, says, bytes, as_receipt, reason, by_key, at_ms, copies, by_seal, by_seal_key, at_sealed_ms, null) $$;

create function receive_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea)
returns setof callback
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  perform demand_mac(of_order, sha256(convert_to('restored|' || said, 'UTF8')), null, convert_to(said, 'UTF8'), 'restored', null, null,
                     by_seal_key, at_sealed_ms, by_mac);
  return query select * from write_restored(of_order, said, why, by_seal, by_seal_key, at_sealed_ms);
end $$;
create function receive_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint)
returns setof callback
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  select * from receive_restored(of_order, said, why, by_seal, by_seal_key, at_sealed_ms, null) $$;

revoke execute on function
  demand_mac(text, bytea, jsonb, bytea, text, text, bigint, text, bigint, bytea),
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, bytea),
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  receive_restored(text, text, text, bytea, text, bigint, bytea), receive_restored(text, text, text, bytea, text, bigint) from public;
grant execute on function
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint, bytea),
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  receive_restored(text, text, text, bytea, text, bigint, bytea), receive_restored(text, text, text, bytea, text, bigint) to app_api;
reset role;
revoke create on schema engine from engine_owner;
