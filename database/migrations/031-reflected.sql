-- Callbacks that a provider signs within one millisecond bear one stamp. When it is a stamp of ours, each of their orders is
-- refused once: that another one was says nothing against it (docs/decisions/0010-own-stamps-on-one-residue.md). Noted in short and
-- never refused: else whoever has the API's login notes one long name, and no genuine callback of that millisecond is ever kept.
alter table engine.own_stamp add column reflected_for text[] not null default '{}';
create trigger sizes_of_reflected before insert or update of reflected_for on engine.own_stamp for each row
  when (octet_length(new.reflected_for::text) > 32768) execute function engine.refuse_size();
grant update (reflected_for) on engine.own_stamp to engine_owner;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

do $$
declare
  before text := pg_get_functiondef('arriving(text, bytea, text, bigint)'::regprocedure);
  -- So many orders of one millisecond are told apart.
  after text := replace(replace(before,
    $q$case when s.reflected_at is null then 'first time' else 'again' end$q$,
    $q$case when left(of_order, 64) = any(s.reflected_for) or cardinality(s.reflected_for) >= 100
         or octet_length(s.reflected_for::text) > 32000 then 'again' else 'first time' end$q$),
    $q$set reflected_at = clock_timestamp()$q$,
    $q$set reflected_at = coalesce(s.reflected_at, clock_timestamp()), reflected_for = s.reflected_for || left(of_order, 64)$q$);
begin
  if after = before then raise exception 'arriving() does not ask whether a stamp has come back'; end if;
  execute after;
end $$;

reset role;
revoke create on schema engine from engine_owner;
