-- Keys in pairs: a caller may hold two living keys, so that one is replaced while the other still works. Rows that stand
-- keep working, whatever their names and scopes: the rules are for new rows, and a row that is revoked is not judged again.
set local search_path = engine;

alter table api_key drop constraint api_key_pkey;
alter table api_key add column id bigint generated always as identity primary key;
create index api_key_by_name on api_key (name);

create function admit_api_key() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare living integer;
begin
  -- No '+': decisions of two operators are written with their names joined by it.
  if new.name !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
    raise exception 'a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit' using errcode = 'P0E11';
  end if;
  -- Who decides about money must not be able to order it as well.
  if new.scopes @> '{reviews:decide}' and new.scopes @> '{deposits:create}' then
    raise exception 'a key with reviews:decide may not hold deposits:create' using errcode = 'P0E12';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('engine.api_key ' || new.name, 0));
  select count(*) into living from engine.api_key k
   where k.name = new.name and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp());
  if living >= 2 then
    raise exception '% holds two living keys already', new.name using errcode = 'P0E13';
  end if;
  return new;
end $$;
create trigger admit before insert on api_key for each row execute function admit_api_key();

-- What a key may do never changes: another key is made instead. A revoked one stays revoked.
create function keep_api_key() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (new.id, new.name, new.hash, new.scopes, new.wallets) is distinct from (old.id, old.name, old.hash, old.scopes, old.wallets)
     or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) then
    raise exception 'an API key is revoked and made anew, never changed' using errcode = 'P0E14';
  end if;
  return new;
end $$;
create trigger keep before update on api_key for each row execute function keep_api_key();
