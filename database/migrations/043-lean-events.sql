-- An event stores what its deposit's row does not keep; `event_body` adds the rest, for rows of before as well (docs/reference/events.md).
-- Only a posting has one event: the others need no place in this index.
create unique index concurrently if not exists event_by_posting on engine.event (posting) where posting is not null;
-- In one transaction:
set local search_path = engine, pg_temp;

create or replace function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- An event as it is listed and sent, and its name. Written once, here: an audit hashes the same text.
create or replace view event_body as
  select e.id, e.subject, e.position, n.name,
         jsonb_build_object('type', e.type, 'timestamp', to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'id', n.name,
                            'version', 1, 'epoch', e.epoch, 'data', case when e.data ? 'state' then
                            event_data(d.external_order_number, e.sequence, d.wallet, e.data->>'state', (e.data->>'late')::boolean,
                                       d.currency_code, d.buy_coin_mode, d.mtc_amount, d.total_price) else '{}' end || e.data) as body
    from engine.event e
    left join engine.deposit d on d.external_order_number = e.subject
   -- No dot, which separates what Standard Webhooks signs. A colon is in no order number.
   cross join lateral (select 'evt_' || e.subject || '_' || e.sequence || case when e.epoch > 1 then ':' || e.epoch else '' end as name) n;
-- A view calls its functions as the one who reads it.
grant execute on function event_data(text, integer, text, text, boolean, text, text, numeric, numeric) to app_api, auditor;

select pg_temp.change('tell_state()',
  'event_data(new.external_order_number, new.events, new.wallet, new.state, new.late, new.currency_code, new.buy_coin_mode, new.mtc_amount, new.total_price)
           || w.more', $$jsonb_build_object('state', new.state, 'late', new.late) || w.more$$);
select pg_temp.change('tell(text, text, bigint, text, jsonb)',
  'returning o.events, o.wallet, o.state, o.late, o.currency_code, o.buy_coin_mode, o.mtc_amount, o.total_price into d',
  'returning o.events, o.wallet, o.state, o.late into d');
select pg_temp.change('tell(text, text, bigint, text, jsonb)', $$
  more := event_data(case when d.events is not null then of_subject end, n, d.wallet, d.state, d.late, d.currency_code, d.buy_coin_mode, d.mtc_amount, d.total_price) || more;$$, '');
select pg_temp.change('tell(text, text, bigint, text, jsonb)', '(select count(*) from restored), more)',
  $$(select count(*) from restored), jsonb_build_object('state', d.state, 'late', d.late) || more)$$);
reset role;
revoke create on schema engine from engine_owner;

alter table event drop constraint event_posting_key;
