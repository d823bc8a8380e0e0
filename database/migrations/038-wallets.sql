-- A list of some wallets costs the same however many deposits and cases there are (docs/internals/growth.md#what-is-looked-up).
-- A wallet's deposits of a state; all of a wallet are merged from its states. 040-contract-wallets.sql drops deposit_by_wallet for it.
create index concurrently if not exists deposit_by_wallet_state on engine.deposit (wallet, state, created_at desc, external_order_number desc);

-- In one transaction:
set local search_path = engine, pg_temp;

-- The wallet of the deposit that the message of a case claims. Null: there is no such deposit yet, or the case is older than this column.
alter table review_case add column wallet text;
create function case_wallet() returns trigger language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
begin
  new.wallet := (select d.wallet from callback c join deposit d on d.external_order_number = c.external_order_number where c.id = new.callback);
  return new;
end $$;
revoke execute on function case_wallet() from public;
create trigger wallet before insert on review_case for each row execute function case_wallet();
create trigger wallet_once before update of wallet on review_case for each row
  when (old.wallet is not null and old.wallet is distinct from new.wallet) execute function refuse_change();
grant update (wallet) on review_case to engine_owner;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Writes the wallet of a case whose deposit has turned up. False: there is nothing to write.
create function name_wallet(of_case text) returns boolean
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  update review_case v set wallet = d.wallet
    from callback c join deposit d on d.external_order_number = c.external_order_number
   where v.workflow_id = of_case and num_nulls(v.wallet) = 1 and c.id = v.callback;
  return found;
end $$;
revoke execute on function name_wallet(text) from public;
grant execute on function name_wallet(text) to app_api;
reset role;
revoke create on schema engine from engine_owner;
