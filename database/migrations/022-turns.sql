-- Whoever continues a chain waits for its turn at a row that nobody else can lock. It was an advisory lock, and every login
-- of the database may take one and keep it (docs/threat-model.md#what-a-leaked-login-can-stop).

-- The functions as they are, each with its line changed. `ledger_owner` is allowed to change its own below.
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
  end if;
end $$;
create function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- The books ---------------------------------------------------------------------------------------------------------------
set local role ledger_owner;
set local search_path = ledger, pg_temp;

create table turn (one boolean primary key default true check (one));
insert into turn default values;
create trigger append_only before update or delete or truncate on turn for each statement execute function forbid();

-- A block follows the newest, whoever writes it. post() takes its turn before it reads the newest. A post() of before this
-- file may still be at work, or wait for the advisory lock: it has no turn, so its block is put behind what came meanwhile.
create function follow() returns trigger language plpgsql set search_path = ledger, pg_temp as $$
declare head block;
begin
  perform from turn where one for update;
  if not found then raise exception 'ledger.turn is empty' using errcode = 'P0L05'; end if;
  select * into head from block order by n desc limit 1;
  if found and (new.n, new.prev) is distinct from (head.n + 1, head.hash) then
    new.n := head.n + 1;  new.prev := head.hash;  new.at := clock_timestamp();
    new.hash := seal(new.n, new.prev, new.at, content(new.members));
  end if;
  return new;
end $$;
-- Waits for transactions that have written a block: whoever writes one after this meets the trigger.
create trigger follow before insert on block for each row execute function follow();

select pg_temp.change('post(transaction[])', $$perform pg_advisory_xact_lock(hashtext('ledger.block'))$$, 'perform from turn where one for update');
reset role;

-- The archive, and keys ---------------------------------------------------------------------------------------------------
set local search_path = engine, pg_temp;

create table turn (what text primary key);
insert into turn values ('archive'), ('api_key');
create trigger append_only before update or delete or truncate on turn for each statement execute function forbid();

-- An archiver of before that waits at this moment may meet the unique index, once; it looks again.
select pg_temp.change('append_archive(text, text, text, text, timestamptz, integer, bytea, bytea, text, text)',
  $$perform pg_advisory_xact_lock(hashtext('engine.archive'))$$, $$perform from turn t where t.what = 'archive' for update$$);
select pg_temp.change('admit_api_key()',
  $$perform pg_advisory_xact_lock(hashtextextended('engine.api_key ' || new.name, 0))$$,
  $$perform from engine.turn t where t.what = 'api_key' for update$$);
drop function pg_temp.change(regprocedure, text, text);
