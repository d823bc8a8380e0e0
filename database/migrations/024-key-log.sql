-- Which API keys were made and revoked, in a chain that nobody writes to but what makes and revokes them, as the schema's
-- owner (docs/audit.md#api-keys). A key that somebody put into the table, or whose hash was exchanged, has no line here.
set local search_path = engine, pg_temp;

create table key_log (
  n           bigint primary key,
  prev        bytea not null,
  hash        bytea not null unique,
  event       text not null check (event in ('before', 'made', 'revoked')), -- before: it was there when the log began
  at          timestamptz not null,
  key_id      bigint not null,
  name        text not null,
  scopes      text[] not null,
  wallets     text[],
  created_at  timestamptz not null,
  expires_at  timestamptz,
  fingerprint bytea not null);                                              -- sha256 of what the key's proof is compared with
create trigger append_only before update or delete or truncate on key_log for each statement execute function forbid();

-- Explicit text, as the archive's: times are microseconds since 1970. No name, scope or wallet holds a comma.
create function key_log_line(k key_log) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select concat_ws('|', k.n, k.event, (extract(epoch from k.at) * 1000000)::bigint, k.key_id, k.name, array_to_string(k.scopes, ','),
    coalesce('w:' || array_to_string(k.wallets, ','), ''), (extract(epoch from k.created_at) * 1000000)::bigint,
    coalesce((extract(epoch from k.expires_at) * 1000000)::bigint::text, ''), encode(k.fingerprint, 'hex')) $$;

create function log_key(of_key bigint, as_event text) returns void
language plpgsql volatile set search_path = engine, pg_temp as $$
declare head key_log; fresh key_log;
begin
  perform from turn t where t.what = 'api_key' for update;
  select * into head from key_log order by n desc limit 1;
  select k.id, k.name, k.scopes, k.wallets, k.created_at, k.expires_at, sha256(k.proof_hash)
    into strict fresh.key_id, fresh.name, fresh.scopes, fresh.wallets, fresh.created_at, fresh.expires_at, fresh.fingerprint
    from api_key k where k.id = of_key;
  fresh.n := coalesce(head.n, 0) + 1;
  fresh.prev := coalesce(head.hash, sha256('engine.key_log'));
  fresh.event := as_event;
  fresh.at := clock_timestamp();
  fresh.hash := sha256(fresh.prev || convert_to(key_log_line(fresh), 'UTF8'));
  insert into key_log select fresh.*;
end $$;

-- By the owner (`npm run keys`) alone. issue_key() is another before the contract (021-contract.sql) than after it.
create function make_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint) returns bigint
language plpgsql volatile set search_path = engine, pg_temp as $$
declare made bigint := issue_key(proof, of_name, may, only_wallets, lives_ms);
begin
  perform log_key(made, 'made');
  return made;
end $$;

-- Likewise. Those that were revoked before are left out.
create function revoke_keys(ids text[]) returns setof text
language plpgsql volatile set search_path = engine, pg_temp as $$
declare key_id bigint;
begin
  for key_id in update api_key k set revoked_at = clock_timestamp() where 'K' || k.id = any (ids) and k.revoked_at is null returning k.id loop
    perform log_key(key_id, 'revoked');
    return next 'K' || key_id;
  end loop;
end $$;

-- What is there. The lock keeps a key that is being made from slipping between the two.
lock table api_key in share row exclusive mode;
select log_key(k.id, 'before') from (select id from api_key order by id) k;
select log_key(k.id, 'revoked') from (select id from api_key where revoked_at is not null order by id) k;

revoke execute on function key_log_line(key_log), log_key(bigint, text), make_key(bytea, text, text[], text[], bigint),
  revoke_keys(text[]) from public;
grant select on key_log to auditor;
grant select (id, name, scopes, wallets, created_at, expires_at, revoked_at, proof_hash) on api_key to auditor;
