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

-- Whether a step of a case would move money out of a wallet that is none of these, or into one. Its own deposit and the one that is
-- proposed are compared by take_step(). A withdrawal moves nothing, nor does a rejection of what is back at the provider.
create function moves_elsewhere(of_case text, decided text, of_proposal bigint, wallets text[]) returns boolean
language plpgsql stable set search_path = engine, pg_temp as $$
begin
  return wallets is not null and exists (
    select from case_now v
      left join decision p on p.id = of_proposal
      left join deposit d on d.external_order_number = p.to_deposit
      left join ledger.transaction t on t.id = v.tip and t.credit_code like 'wallet:%'
     where v.workflow_id = of_case
       and (not d.wallet = any (wallets)
         -- It is in that wallet, or would go back there.
         or not substr(t.credit_code, 8) = any (wallets) and (t.amount > 0
           or (v.standing, coalesce(decided, p.decision)) not in (('withdrawn', 'credit'), ('withdrawn', 'reverse'), ('returned', 'reject')))));
end $$;
revoke execute on function moves_elsewhere(text, text, bigint, text[]) from public;
do $$
declare
  f regprocedure := 'take_step(bytea, text, text, text, boolean, text, bigint, boolean, bigint, text, text, numeric, text, numeric, text, bytea, text, bytea)';
  was text := 'if not about.wallet = any (person.wallets) or';
  becomes text := 'if not about.wallet = any (person.wallets)
     or take_step.step <> ''withdraw'' and moves_elsewhere(of_case, take_step.decision, of_proposal, person.wallets)
     or';
  before text := pg_get_functiondef(f);
begin
  if position(was in before) = 0 then raise exception '% does not say: %', f, was; end if;
  execute replace(before, was, becomes);
end $$;

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
