-- What the outside is told, one row for each effect, written in the effect's own transaction (docs/reference/events.md).
-- `outgoing` is written no more; 042-contract-events.sql drops it.
set local search_path = engine, pg_temp;

create function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- The number of its events. It rises under the row's lock, so the sequence has no gap, and a rolled back event leaves none.
alter table deposit add column events integer not null default 0;

create table event (
  id        bigint generated always as identity primary key,
  subject   text not null,                       -- an order number; callback:<id>, for the cases of an order that is not known
  sequence  integer not null check (sequence > 0),
  type      text not null check (type in ('deposit.placed', 'deposit.refused', 'deposit.unknown', 'deposit.expired', 'deposit.credited', 'deposit.settled',
              'deposit.in_review', 'deposit.rejected', 'deposit.unpaid', 'deposit.reversed', 'deposit.restored', 'deposit.payment_added',
              'case.opened', 'case.decided')),
  wallet    text,
  posting   bigint unique,                       -- a posting that touches a wallet is one event
  case_id   text,
  epoch     integer not null,                    -- 1, and one more for each time that the database was restored
  at        timestamptz not null default clock_timestamp(),
  data      jsonb not null,
  position  bigint,                              -- its place among all events; null until it is published
  published_at timestamptz,                      -- never less than that of the position before, nor than `at`, whatever a clock does
  unique (subject, sequence),
  check ((position is null) = (published_at is null)));
create unique index event_by_position on event (position) where position is not null;
create index event_by_type   on event (type, position) where position is not null;
create index event_by_wallet on event (wallet, position) where position is not null;
create index event_by_case   on event (case_id) where case_id is not null;
create index event_unpublished on event (id) where position is null;

create trigger append_only before delete or truncate on event for each statement execute function forbid();
create trigger kept before update on event for each row when (
     (old.id, old.subject, old.sequence, old.type, old.wallet, old.posting, old.case_id, old.epoch, old.at, old.data)
       is distinct from (new.id, new.subject, new.sequence, new.type, new.wallet, new.posting, new.case_id, new.epoch, new.at, new.data)
  or old.position is not null and (new.position, new.published_at) is distinct from (old.position, old.published_at))
  execute function refuse_change();
create function keep_count() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin raise exception 'deposit %: its events are counted one by one', new.external_order_number using errcode = 'P0E51'; end $$;
revoke execute on function keep_count() from public;
create trigger counted before update of events on deposit for each row when (new.events not in (old.events, old.events + 1)) execute function keep_count();

insert into turn (what) values ('event');
grant select on event to app_api, auditor, engine_owner;
grant insert (subject, sequence, type, wallet, posting, case_id, epoch, data), update (position, published_at) on event to engine_owner;
grant select (events), update (events) on deposit to engine_owner;
grant select (events) on deposit to auditor;
grant select, update (what) on turn to engine_owner;   -- its lock alone: no row of it changes

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- These are put into the statements that call them: stable, as the functions of time and JSON that they call.
create function as_time(at timestamptz) returns text language sql stable as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- What every event of a deposit says: the order, and its state at that moment. Nothing personal, and no link: whoever has it may pay.
create function event_data(of_order text, of_sequence integer, wallet text, state text, late boolean, currency text, mode text, mtc numeric, price numeric)
returns jsonb language sql stable as $$
  select jsonb_build_object('externalOrderNumber', of_order, 'sequence', of_sequence, 'wallet', wallet, 'state', state,
    'final', state in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'), 'late', late, 'currencyCode', currency, 'buyCoinMode', mode,
    'asked', case mode when 'MtcAmount' then jsonb_build_object('mtcAmount', trim_scale(mtc)::text)
                       when 'PaymentPrice' then jsonb_build_object('totalPrice', trim_scale(price)::text) end) $$;

-- The money of a posting that touches a wallet: what the wallet got or lost, and the payment that it came with.
create function event_money(t ledger.transaction) returns jsonb language sql stable as $$
  select jsonb_build_object('postingId', t.id::text, 'amount', trim_scale(abs(t.amount - t.fee - coalesce(t.rest, 0)))::text,
                            'transactionCode', coalesce(t.provider_code, ledger.code(t.id)))
    || case when t.amount > 0 then jsonb_build_object('paidPrice', trim_scale(t.fiat_amount)::text, 'creditedAt', as_time(t.posted_at))
            else jsonb_build_object('kept', t.debit_code like 'suspense:%', 'of', t.origin::text) end $$;

-- An event as it is listed and sent, and its name. Written once, here: an audit hashes the same text.
create view event_body as
  select e.id, e.subject, e.position, n.name,
         jsonb_build_object('type', e.type, 'timestamp', to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'id', n.name,
                            'version', 1, 'epoch', e.epoch, 'data', e.data) as body
    from engine.event e
   -- No dot, which separates what Standard Webhooks signs. A colon is in no order number.
   cross join lateral (select 'evt_' || e.subject || '_' || e.sequence || case when e.epoch > 1 then ':' || e.epoch else '' end as name) n;
grant select on event_body to app_api, auditor;

-- The state -------------------------------------------------------------------------------------------------------------

create function count_event() returns trigger language plpgsql set search_path = engine, pg_temp as $$
begin new.events := old.events + 1; return new; end $$;

-- One statement. A deposit that ends by a payment which was told before moves no money now: it is settled.
create function tell_state() returns trigger language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
begin
  insert into event (subject, sequence, type, wallet, posting, epoch, data)
  select new.external_order_number, new.events, w.type, new.wallet, w.posting, 1 + (select count(*) from restored),
         event_data(new.external_order_number, new.events, new.wallet, new.state, new.late, new.currency_code, new.buy_coin_mode, new.mtc_amount, new.total_price)
           || w.more
    from (select t.id as posting,
                 case new.state when 'AWAITING_PAYMENT' then 'deposit.placed' when 'PLACEMENT_REFUSED' then 'deposit.refused'
                                when 'PLACEMENT_UNKNOWN' then 'deposit.unknown' when 'EXPIRED' then 'deposit.expired' when 'IN_REVIEW' then 'deposit.in_review'
                                when 'CREDITED' then case when t.id is null then 'deposit.settled' else 'deposit.credited' end
                                when 'REJECTED' then 'deposit.rejected' when 'UNPAID' then 'deposit.unpaid' end as type,
                 case new.state
                   when 'AWAITING_PAYMENT' then jsonb_build_object('expiresAt', as_time(new.expires_at), 'listeningUntil', as_time(new.listening_until),
                                                                   'advertisementCode', new.advertisement_code)
                   when 'PLACEMENT_REFUSED' then jsonb_build_object('refusal', new.refusal, 'closedAt', as_time(new.closed_at))
                   when 'CREDITED' then case when t.id is null then jsonb_build_object('postingId', new.posting_id::text, 'closedAt', as_time(new.closed_at))
                                             else event_money(t) end
                   -- Mostly its own; or another that the payment has already.
                   when 'IN_REVIEW' then jsonb_build_object('case', coalesce((select v.workflow_id from review_case v
                                                                               where v.callback = new.bound_callback and v.closed_at is null),
                                                                             'deposit:' || new.external_order_number), 'reason', new.review_reason)
                   when 'REJECTED' then jsonb_build_object('case', coalesce(new.settled_by, 'deposit:' || new.external_order_number), 'closedAt', as_time(new.closed_at))
                   when 'UNPAID' then jsonb_build_object('closedAt', as_time(new.closed_at))
                   else jsonb_build_object('listeningUntil', as_time(new.listening_until)) end as more
            from (values (1)) one
            left join ledger.transaction t on new.state = 'CREDITED' and t.id = new.posting_id and not exists (select from event e where e.posting = t.id)) w;
  return null;
end $$;

-- What changes no state ---------------------------------------------------------------------------------------------------

-- Writes an event of a deposit, or of a message whose order is not known. It locks the row that counts: the last lock of a transaction.
create function tell(of_subject text, as_type text, of_posting bigint, of_case text, more jsonb) returns void
language plpgsql set search_path = engine, pg_temp as $$
declare d record; n integer;
begin
  update deposit o set events = o.events + 1 where o.external_order_number = of_subject
  returning o.events, o.wallet, o.state, o.late, o.currency_code, o.buy_coin_mode, o.mtc_amount, o.total_price into d;
  n := d.events;
  if not found then
    perform from callback c where of_subject = 'callback:' || c.id and c.id = substr(of_subject, 10)::bigint for no key update;
    select coalesce(max(e.sequence), 0) + 1 into n from event e where e.subject = of_subject;
  end if;
  more := event_data(case when d.events is not null then of_subject end, n, d.wallet, d.state, d.late, d.currency_code, d.buy_coin_mode, d.mtc_amount, d.total_price) || more;
  insert into event (subject, sequence, type, wallet, posting, case_id, epoch, data)
  values (of_subject, n, as_type, d.wallet, of_posting, of_case, 1 + (select count(*) from restored), more);
end $$;

-- A posting that touches a wallet and that no change of a state has told. Its deposit is the one whose wallet it is, and is locked.
create function tell_posting(of_posting bigint) returns void
language plpgsql set search_path = engine, pg_temp as $$
declare t ledger.transaction;
begin
  select p.* into t from ledger.transaction p
   where p.id = of_posting and p.credit_code like 'wallet:%' and not exists (select from event e where e.posting = p.id);
  if t.id is null then return; end if;
  -- The books compare texts by their bytes, and the index of deposits does not.
  perform tell(t.deposit collate "default", case when t.amount < 0 then 'deposit.reversed' when t.kind = 'reversal' then 'deposit.restored' else 'deposit.payment_added' end,
               t.id, null, event_money(t));
end $$;

-- Before a case: one callback has one open case, so whoever waits for its deposit must not have entered it there already, and
-- others have the deposit as they enter theirs.
create function lock_told() returns trigger language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
begin
  perform from deposit d where d.external_order_number = (select c.external_order_number from callback c where c.id = new.callback) for no key update;
  if not found then perform from callback c where c.id = new.callback for no key update; end if;
  return new;
end $$;

-- A case tells that it was opened, that its money was moved, and that it was decided. As with the state: no statement can forget it.
create function tell_case() returns trigger language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
declare
  -- Whom its opening was told stays with it.
  subject text := coalesce(
    (select e.subject from event e where e.case_id = new.workflow_id limit 1),
    (select d.external_order_number from callback c join deposit d on d.external_order_number = c.external_order_number where c.id = new.callback),
    'callback:' || new.callback);
begin
  if tg_op = 'INSERT' then
    perform tell(subject, 'case.opened', null, new.workflow_id, jsonb_build_object('case', new.workflow_id, 'reason', new.reason));
  elsif new.closed_at is null then
    perform tell_posting(new.parked);
  else
    perform tell_posting(new.posting);
    perform tell(subject, 'case.decided', null, new.workflow_id,
                 jsonb_build_object('case', new.workflow_id, 'decision', new.decision, 'postingId', new.posting::text));
  end if;
  return null;
end $$;

-- Publishing --------------------------------------------------------------------------------------------------------------

-- Gives the next events their place among all, one batch at a time. Numbers of rows become visible in the order of commits, which is
-- another: a reader that went on after the greatest of them would lose rows. Within a deposit the order is that of its sequence.
-- Never in the transaction of an effect: NOTIFY holds a lock of the whole database until its end.
create function publish_events(at_most integer) returns integer
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare published integer; now_is timestamptz;
begin
  perform from turn t where t.what = 'event' for update skip locked;
  if not found then
    -- The turn is short. Where it is not, somebody keeps it: then a worker has to tell, and cannot take it from them.
    if (select w.at < clock_timestamp() - interval '1 minute' from event w where w.position is null order by w.id limit 1) then
      raise exception 'another session publishes no events, and nobody else can' using errcode = '55P03';
    end if;
    return 0;
  end if;
  now_is := clock_timestamp();
  update event e set position = coalesce(p.position, 0) + f.place, published_at = greatest(now_is, p.published_at, f.newest)
    from (select x.position, x.published_at from (values (1)) one
            left join lateral (select y.position, y.published_at from event y where y.position is not null order by y.position desc limit 1) x on true) p
   cross join (select n.id, row_number() over (order by n.id) as place, max(n.at) over () as newest
                 from (select w.id, w.at from event w where w.position is null order by w.id limit least(at_most, 500)) n) f
   where e.id = f.id;
  get diagnostics published = row_count;
  if published > 0 then perform pg_notify('event_published', ''); end if;
  return published;
end $$;

-- The last place that was given before then. Times of publishing never fall and are none before the event, so whatever happened since
-- then comes after it. Halved until it is found: no event pays for an index of times.
create function position_since(since timestamptz) returns bigint language plpgsql stable set search_path = engine, pg_temp as $$
declare
  low bigint := 0;  high bigint := (select coalesce(max(e.position), 0) from event e where e.position is not null);
  mid bigint;  next record;
begin
  while low < high loop
    mid := (low + high) / 2;
    select e.position, e.published_at into next from event e where e.position > mid order by e.position limit 1;
    if next.published_at < since then low := next.position; else high := mid; end if;
  end loop;
  return low;
end $$;

revoke execute on function count_event(), tell_state(), tell(text, text, bigint, text, jsonb), tell_posting(bigint), lock_told(), tell_case(),
  publish_events(integer), position_since(timestamptz), event_data(text, integer, text, text, boolean, text, text, numeric, numeric), event_money(ledger.transaction), as_time(timestamptz) from public;
grant execute on function publish_events(integer) to app_worker;
grant execute on function position_since(timestamptz) to app_api;
reset role;

create trigger told before update of state on deposit for each row
  when (old.state is distinct from new.state and new.state <> 'CREDITING') execute function count_event();
create trigger tell_state after update of state on deposit for each row
  when (old.state is distinct from new.state and new.state <> 'CREDITING') execute function tell_state();
create trigger told before insert on review_case for each row execute function lock_told();
create trigger tell_opened after insert on review_case for each row execute function tell_case();
create trigger tell_moved after update of parked on review_case for each row
  when (new.closed_at is null and old.parked is distinct from new.parked) execute function tell_case();
create trigger tell_decided after update of closed_at on review_case for each row
  when (old.closed_at is null and new.closed_at is not null) execute function tell_case();

-- The functions that told so far -----------------------------------------------------------------------------------------
set local role engine_owner;
set local search_path = engine, pg_temp;

select pg_temp.change('credit(jsonb)', $was$where c.id = s.inbox_id and num_nulls(c.outcome) = 1),
  told as (
    insert into outgoing (id, kind, external_order_number, body)
    select 'deposit.credited:' || s.id || ':' || (extract(epoch from s.posted_at) * 1000000)::bigint, 'deposit.credited', s.deposit,
           jsonb_build_object('externalOrderNumber', s.deposit, 'wallet', s.wallet, 'amount', trim_scale(s.amount)::text, 'transactionCode', s.provider_code,
                              'postingId', s.id::text, 'late', s.late, 'creditedAt', s.posted_at)
      from stands s on conflict do nothing)$was$, 'where c.id = s.inbox_id and num_nulls(c.outcome) = 1)');

select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', $was$
      perform decision_tell_credited(it.deposit);
    end if;
  elsif$was$, '
    end if;
  elsif');
select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', $was$
      perform decision_tell_credited(it.deposit);$was$, '');
select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', $was$
  if p.decision = 'credit' and it.amount is null then select * into stated from stated_facts f where f.decision = p.id; end if;
  insert into outgoing (id, kind, external_order_number, body)
  values ('review.decided:' || it.workflow_id, 'review.decided', it.external_order_number, jsonb_build_object(
    'externalOrderNumber', it.external_order_number, 'case', it.workflow_id, 'decision', p.decision,
    'amount', coalesce(it.amount, trim_scale(stated.amount)::text), 'transactionCode', coalesce(it.transaction_code, stated.transaction_code),
    'postingId', posted::text))
  on conflict do nothing;$was$, '');
select pg_temp.change('decision_conclude(case_now, decision, text, bigint)', $was$
  settled jsonb; stated stated_facts;$was$, '
  settled jsonb;');
drop function decision_tell_credited(text);

-- Whose wallet the money is in is told of it as well, so its deposit is locked with the others.
select pg_temp.change('carry_out(text, bigint, bigint, text, text)', $was$d.external_order_number in (
      select c.external_order_number from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case
      union select s.to_deposit from decision s where s.id = proposal_id and s.workflow_id = of_case)$was$, 'd.external_order_number = any (array(
      select c.external_order_number from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case
      union all select s.to_deposit from decision s where s.id = proposal_id and s.workflow_id = of_case
      union all select t.deposit collate "default" from case_now n join ledger.transaction t on t.id = n.tip where n.workflow_id = of_case))');
reset role;
select pg_temp.change('prune(interval, integer)', $was$

  what := 'outgoing';
  with old as (
    select o.ctid as at from outgoing o
     where o.delivered_at < clock_timestamp() - older_than and outgoing_may_go(o.external_order_number, o.delivered_at)
     order by o.delivered_at limit n for update skip locked),
  gone as (delete from outgoing o using old where o.ctid = old.at returning 1)
  select count(*) into pruned from gone;
  return next;$was$, '');
revoke create on schema engine from engine_owner;
