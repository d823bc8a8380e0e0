-- The payer's name: read by placement alone and while the order is being placed, erased soon afterwards. And what was
-- asked and what was received stand for ever, whatever rights a role is given later.
set local search_path = engine;

-- Named one by one: a column that is added later is nobody's until it is granted.
revoke select on deposit from app_worker;
grant select (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code, support_language,
              fingerprint, settings, state, late, redirect_url, advertisement_code, bound_callback, posting_id,
              review_reason, refusal, created_at, placed_at, expires_at, listening_until, closed_at)
  on deposit to app_worker;

-- A new row says what was asked or received, and nothing of what became of it.
revoke insert on deposit, callback from app_api;
grant insert (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code, support_language,
              payer_name, payer_name_key, fingerprint, settings) on deposit to app_api;
grant insert (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked)
  on callback to app_api;

-- One name at a time, and none of an order that has been placed, refused or lost: whoever works as the worker cannot
-- read the table's names.
create function payer_name_for_placement(of_order text, out payer_name bytea, out payer_name_key text)
language sql stable security definer set search_path = engine, pg_temp as $$
  select d.payer_name, d.payer_name_key from deposit d where d.external_order_number = of_order and d.state = 'PLACING' $$;
revoke execute on function payer_name_for_placement(text) from public;
grant execute on function payer_name_for_placement(text) to app_worker;

create index deposit_with_name on deposit (created_at) where payer_name is not null;

-- Erases the names of orders that are older than this and answers how many; a full batch means that there are more.
-- An order that is still being placed keeps its name for a day at least: a repeat after an outage may need it.
create function shred_payer_names(older_than interval, at_most integer) returns integer
language sql volatile security definer set search_path = engine, pg_temp as $$
  with old as (
    select external_order_number from deposit
     where payer_name is not null and created_at < clock_timestamp() - older_than
       and (state <> 'PLACING' or created_at < clock_timestamp() - interval '1 day')
     order by created_at limit least(at_most, 1000) for update skip locked),
  shredded as (
    update deposit d set payer_name = null, payer_name_key = null from old
     where d.external_order_number = old.external_order_number returning 1)
  select count(*)::integer from shredded $$;
revoke execute on function shred_payer_names(interval, integer) from public;
grant execute on function shred_payer_names(interval, integer) to app_worker;

-- Facts -----------------------------------------------------------------------------------------------------------------

create function keep_facts() returns trigger language plpgsql as
$$ begin raise exception 'engine.%: what was asked and what was received cannot be changed', tg_table_name using errcode = 'P0E02'; end $$;
revoke execute on function keep_facts(), forbid() from public;

create trigger facts before update of external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code,
                                      support_language, fingerprint, settings on deposit for each row when (
  (old.external_order_number, old.wallet, old.buy_coin_mode, old.mtc_amount, old.total_price, old.currency_code,
   old.support_language, old.fingerprint, old.settings)
  is distinct from
  (new.external_order_number, new.wallet, new.buy_coin_mode, new.mtc_amount, new.total_price, new.currency_code,
   new.support_language, new.fingerprint, new.settings)) execute function keep_facts();
create trigger facts before update of id, external_order_number, transaction_code, content_hash, data, raw on callback for each row when (
  (old.id, old.external_order_number, old.transaction_code, old.content_hash, old.data, old.raw)
  is distinct from
  (new.id, new.external_order_number, new.transaction_code, new.content_hash, new.data, new.raw)) execute function keep_facts();

-- The one payment of a deposit: bound once, by whomever.
create function keep_binding() returns trigger language plpgsql as
$$ begin raise exception 'deposit % is bound to another callback', old.external_order_number using errcode = 'P0E02'; end $$;
revoke execute on function keep_binding() from public;
create trigger binding before update of bound_callback on deposit for each row
  when (old.bound_callback is not null and new.bound_callback is distinct from old.bound_callback) execute function keep_binding();
