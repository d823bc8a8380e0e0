-- Nor does a message from before seals use up a transaction code (docs/internals/threat-model.md#what-was-put-aside): nobody can verify
-- it, and whoever has the API's login gives it to people, where the owner vouches for it. What people credit they bring in themselves.
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

do $$
declare
  before text := pg_get_functiondef('park_money(text)'::regprocedure);
  after text := replace(before, 'is_vouched(c.vouched_by) as is_vouched',
                        'is_vouched(c.vouched_by) and (c.seal is not null or not exists (select from seal_demand)) as is_vouched');
begin
  if after = before then raise exception 'park_money() does not ask for a voucher'; end if;
  execute after;
end $$;

reset role;
revoke create on schema engine from engine_owner;
