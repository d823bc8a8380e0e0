-- Whom a stamp of ours came back for is noted in short, and never refused: else whoever has the API's login notes one long name, and
-- no genuine callback of that millisecond is ever kept, nor given to people (docs/decisions/0010-own-stamps-on-one-residue.md).
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

do $$
declare
  before text := pg_get_functiondef('arriving(text, bytea, text, bigint)'::regprocedure);
  -- No order of ours has a longer name.
  after text := replace(replace(before,
    $q$of_order = any(s.reflected_for) or cardinality(s.reflected_for) >= 100$q$,
    $q$left(of_order, 64) = any(s.reflected_for) or cardinality(s.reflected_for) >= 100 or octet_length(s.reflected_for::text) > 32000$q$),
    $q$s.reflected_for || of_order$q$, $q$s.reflected_for || left(of_order, 64)$q$);
begin
  if after = before then raise exception 'arriving() does not note whom a stamp came back for'; end if;
  execute after;
end $$;

reset role;
revoke create on schema engine from engine_owner;
