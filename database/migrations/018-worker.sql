-- What the worker may change (docs/database-roles.md#what-the-worker-changes). First the walls around state, for every role,
-- the owner included; then the functions that take the place of the worker's grants.
set local search_path = engine, pg_temp;

-- States ------------------------------------------------------------------------------------------------------------------
-- The pairs are shownTransitions() of domain/deposit.ts; a test compares.

create function refuse_state() returns trigger language plpgsql as
$$ begin raise exception 'deposit %: no change from % to %', old.external_order_number, old.state, new.state using errcode = 'P0E50'; end $$;
create trigger state before update of state on deposit for each row when (
  old.state is distinct from new.state and (old.state, new.state) not in (
    ('PLACING', 'AWAITING_PAYMENT'), ('PLACING', 'PLACEMENT_UNKNOWN'), ('PLACING', 'PLACEMENT_REFUSED'), ('PLACING', 'IN_REVIEW'), ('PLACING', 'CREDITED'), ('PLACING', 'REJECTED'),
    ('PLACEMENT_UNKNOWN', 'CREDITED'), ('PLACEMENT_UNKNOWN', 'IN_REVIEW'), ('PLACEMENT_UNKNOWN', 'REJECTED'), ('PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT'), ('PLACEMENT_UNKNOWN', 'UNPAID'), ('PLACEMENT_UNKNOWN', 'PLACEMENT_REFUSED'),
    ('AWAITING_PAYMENT', 'CREDITED'), ('AWAITING_PAYMENT', 'IN_REVIEW'), ('AWAITING_PAYMENT', 'REJECTED'), ('AWAITING_PAYMENT', 'EXPIRED'),
    ('EXPIRED', 'CREDITED'), ('EXPIRED', 'IN_REVIEW'), ('EXPIRED', 'REJECTED'), ('EXPIRED', 'UNPAID'),
    ('CREDITING', 'CREDITED'), ('CREDITING', 'IN_REVIEW'), ('CREDITING', 'REJECTED'),
    ('IN_REVIEW', 'CREDITED'), ('IN_REVIEW', 'REJECTED'))) execute function refuse_state();

-- What begins, begins open and with nothing settled.
create function refuse_row() returns trigger language plpgsql as
$$ begin raise exception 'engine.%: a new row has no past', tg_table_name using errcode = 'P0E52'; end $$;
create trigger new_row before insert on deposit for each row when (new.state <> 'PLACING' or num_nonnulls(new.bound_callback, new.posting_id,
  new.settled_by, new.told_at, new.redirect_url, new.advertisement_code, new.refusal, new.review_reason, new.placed_at, new.expires_at,
  new.listening_until, new.closed_at) > 0) execute function refuse_row();
create trigger new_row before insert on review_case for each row when (num_nonnulls(new.parked, new.proposal, new.closed_at, new.decision,
  new.decided_by, new.posting) > 0) execute function refuse_row();
create trigger new_row before insert on callback for each row when (new.outcome is not null) execute function refuse_row();

-- Kept once ---------------------------------------------------------------------------------------------------------------

create function refuse_change() returns trigger language plpgsql as
$$ begin raise exception 'engine.%: what is written once stays', tg_table_name using errcode = 'P0E51'; end $$;

-- A checkout link comes with the windows that it begins, also where windows began without one.
create trigger kept before update of closed_at, posting_id, settled_by, placed_at, redirect_url, advertisement_code, refusal, review_reason,
                                     expires_at, listening_until on deposit for each row when (

     old.closed_at is not null and new.closed_at is distinct from old.closed_at
  or old.posting_id is not null and new.posting_id is distinct from old.posting_id
  or old.settled_by is not null and new.settled_by is distinct from old.settled_by
  or old.placed_at is not null and new.placed_at is distinct from old.placed_at
  or old.redirect_url is not null and new.redirect_url is distinct from old.redirect_url
  or old.advertisement_code is not null and new.advertisement_code is distinct from old.advertisement_code
  or old.refusal is not null and new.refusal is distinct from old.refusal
  or old.review_reason is not null and new.review_reason is distinct from old.review_reason
  or (old.redirect_url is not null or new.redirect_url is null) and (
       old.expires_at is not null and new.expires_at is distinct from old.expires_at
    or old.listening_until is not null and new.listening_until is distinct from old.listening_until))
  execute function refuse_change();
create trigger kept before update on review_case for each row when (
     (old.workflow_id, old.callback, old.reason, old.detail, old.opened_by, old.doubted, old.opened_at) is distinct from
     (new.workflow_id, new.callback, new.reason, new.detail, new.opened_by, new.doubted, new.opened_at)
  or old.closed_at is not null and (old.closed_at, old.decision, old.decided_by, old.posting, old.parked, old.held_by) is distinct from
     (new.closed_at, new.decision, new.decided_by, new.posting, new.parked, new.held_by))
  execute function refuse_change();
create trigger kept before update of received_at, last_at, outcome on callback for each row when (
     old.received_at is distinct from new.received_at
  or new.last_at < old.last_at or new.last_at is null
  or old.outcome is not null and new.outcome is distinct from old.outcome)
  execute function refuse_change();
-- An answer once; "unknown" gives way to the answer that came late, and what was decided stays.
create trigger kept before update on placement_attempt for each row when (
     (old.external_order_number, old.n, old.started_at, old.deadline) is distinct from (new.external_order_number, new.n, new.started_at, new.deadline)
  or old.outcome is not null and new.outcome is distinct from old.outcome
  or old.answer is not null and new.answer is distinct from old.answer
     and not (old.outcome = 'unknown' and old.answer->>'kind' = 'unknown'))
  execute function refuse_change();

revoke execute on function refuse_state(), refuse_row(), refuse_change() from public;

-- Functions ---------------------------------------------------------------------------------------------------------------
-- They take ids and read facts from rows.

grant update (state, late, redirect_url, advertisement_code, posting_id, review_reason, refusal, placed_at, expires_at, listening_until, closed_at)
  on deposit to engine_owner;
grant update (outcome) on callback to engine_owner;
grant insert (external_order_number, n, deadline, outcome, answer), update (outcome, answer) on placement_attempt to engine_owner;
grant insert (workflow_id, callback, reason, detail), update (parked, proposal) on review_case to engine_owner;
grant insert on own_stamp, outgoing, provider_clock, archive_object to engine_owner;
grant update on provider_clock to engine_owner;
grant insert (workflow_id, run_id, closed_at) on archive_lost to engine_owner;
grant select, update (looks, look_at) on archive_due to engine_owner;
grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Credit ------------------------------------------------------------------------------------------------------------------

-- Fiat for one MTC, rounded down at the eighth decimal, without a rounding in between: unitPrice() of domain/money.ts.
create function unit_price(price numeric, amount numeric) returns numeric language sql immutable as $$
  select div(price * 100000000, amount) * 0.00000001 $$;

-- Whether domain/judge.ts would give a payment to the machine: currency, the fixed side, the rate band, the cap. An anchor:
-- whatever a workflow says, no machine posts more. Null, where the settings do not say, is no.
create function is_for_machine(settings jsonb, mode text, asked_mtc numeric, asked_price numeric, currency text, amount numeric, price numeric)
returns boolean language sql immutable as $$
  select case mode
           when 'PaymentPrice' then price = asked_price
           else amount <= asked_mtc and amount >= asked_mtc - trunc(asked_mtc * coalesce(settings->'feeBands'->>currency, settings->>'feeBand')::numeric, 8)
         end
     and price >= (settings->'rateBands'->currency->>'from')::numeric * amount
     and price <= (settings->'rateBands'->currency->>'to')::numeric * amount
     and amount <= coalesce((settings->>'creditCap')::numeric, 'infinity') $$;

-- One statement: post, show it on the deposit, settle the inbox row, tell the outside. Locks the deposits, then their
-- callbacks, then the ledger, as every path does (docs/ledger.md#locks), and waits for no row: what somebody else holds is
-- "busy". An item names an inbox row; everything else that it says is compared with the rows as they are under these locks,
-- and what is posted is what they say. What differs is "unproven" and kept out of the ledger call, and so is what was given
-- to people, and what the judge would not credit. "duplicate" repeats the projection, so a retry also mends what was lost.
create function credit(items jsonb) returns table (ord bigint, outcome text, id bigint, posted_at timestamptz)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off
-- Index lookups only, planned once per session, as ledger.post() does.
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  with item as materialized (
    select e.n as ord, i.* from jsonb_array_elements(items) with ordinality e(item, n),
      jsonb_to_record(e.item) as i(inbox_id bigint, deposit text, wallet text, provider_code text, amount numeric, fiat text, fiat_amount numeric,
                                   late boolean, received_at timestamptz)),
  held as materialized (
    select d.external_order_number, d.state, d.bound_callback, d.wallet, d.currency_code, d.buy_coin_mode, d.mtc_amount, d.total_price, d.settings,
           d.expires_at
      from deposit d
     where d.external_order_number = any (array(select i.deposit from item i)) order by 1 for no key update skip locked),
  message as materialized (
    select c.id, c.receipt, c.acked, c.outcome, c.data, c.received_at from callback c
     where c.id = any (array(select h.bound_callback from held h)) order by 1 for no key update skip locked),
  proven as (
    select i.ord, row_number() over (order by i.ord) as place, i.late, h.external_order_number as deposit, h.wallet, c.id as inbox_id,
           c.data->>'transactionCode' as provider_code, f.amount, h.currency_code as fiat, f.price
      from item i
      join held h on h.external_order_number = i.deposit
      join message c on c.id = h.bound_callback and c.id = i.inbox_id and c.receipt = 'first' and c.acked
     cross join lateral (select (c.data->>'transactionAmount')::numeric as amount, (c.data->>'paymentPrice')::numeric as price) f
     where h.state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED', 'CREDITING', 'CREDITED')
       and coalesce(c.outcome, '') not like 'review:%'
       and (h.wallet, h.currency_code) = (i.wallet, i.fiat)
       and (c.data->>'externalOrderNumber', c.data->>'transactionCode', c.data->>'currencyCode') = (i.deposit, i.provider_code, i.fiat)
       and (f.amount, f.price) = (i.amount, i.fiat_amount)
       -- A time of ours is told in milliseconds and kept in microseconds.
       and (i.received_at is null or abs(extract(epoch from c.received_at - i.received_at)) < 0.002)
       and is_for_machine(h.settings, h.buy_coin_mode, h.mtc_amount, h.total_price, h.currency_code, f.amount, f.price)
       and (h.settings->>'latePolicy' = 'credit'
            or not i.late and coalesce(date_trunc('milliseconds', c.received_at) <= date_trunc('milliseconds', h.expires_at), true))),
  call as (
    select jsonb_agg(jsonb_build_object('key', 'deposit:' || p.deposit || ':credit', 'deposit', p.deposit, 'provider', 'mtpay',
             'provider_code', p.provider_code, 'wallet', p.wallet, 'amount', p.amount::text, 'fee', '0', 'fiat', p.fiat,
             'fiat_amount', p.price::text, 'unit_price', unit_price(p.price, p.amount)::text, 'workflow_id', 'deposit:' || p.deposit) order by p.place) as items
      from proven p having count(*) > 0),
  answer as materialized (
    select p.*, a.outcome, a.id, a.posted_at from call cross join lateral ledger.credit(call.items) a join proven p on p.place = a.ord),
  stands as (select * from answer a where a.outcome <> 'conflict'),
  shown as (
    update deposit d set state = 'CREDITED', posting_id = s.id, late = s.late, closed_at = s.posted_at
      from stands s where d.external_order_number = s.deposit and d.posting_id is null),
  settled as (
    update callback c set outcome = 'posting:' || s.id from stands s where c.id = s.inbox_id and c.outcome is null),
  told as (
    insert into outgoing (id, kind, external_order_number, body)
    select 'deposit.credited:' || s.id || ':' || (extract(epoch from s.posted_at) * 1000000)::bigint, 'deposit.credited', s.deposit,
           jsonb_build_object('externalOrderNumber', s.deposit, 'wallet', s.wallet, 'amount', trim_scale(s.amount)::text, 'transactionCode', s.provider_code,
                              'postingId', s.id::text, 'late', s.late, 'creditedAt', s.posted_at)
      from stands s on conflict do nothing)
  select i.ord,
         case when a.outcome is not null then a.outcome
              when h.external_order_number is null and exists (select from deposit e where e.external_order_number = i.deposit)
                or h.bound_callback is not null and c.id is null then 'busy'
              else 'unproven' end,
         a.id, a.posted_at
    from item i left join answer a on a.ord = i.ord
    left join held h on h.external_order_number = i.deposit
    left join message c on c.id = h.bound_callback
   order by i.ord;
end $$;

-- Placement ---------------------------------------------------------------------------------------------------------------

-- The number of the only attempt that may be made next; null: none may, because the last was sent, or may have been.
create function next_attempt(of_order text) returns integer language sql stable as $$
  select case when a.n is null then 1 when a.outcome = 'not_sent' then a.n + 1 end
    from (values (1)) one left join lateral (
      select p.n, p.outcome from placement_attempt p where p.external_order_number = of_order order by p.n desc limit 1) a on true $$;

-- Claims an attempt and notes the stamp it will be signed with. False: another run has it. A stamp is of now, by this
-- server's clock and as far off as a provider's clock is believed, with a minute for the grid.
create function begin_attempt(of_order text, attempt integer, deadline_ms bigint, with_key text, stamp_ms bigint) returns boolean
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  if abs(stamp_ms - extract(epoch from clock_timestamp()) * 1000) > 660000 then
    raise exception 'a stamp that is not of now' using errcode = 'P0E53'; end if;
  insert into placement_attempt (external_order_number, n, deadline)
  select d.external_order_number, attempt, clock_timestamp() + least(deadline_ms, 600000) * interval '1 millisecond'
    from deposit d where d.external_order_number = of_order and d.state = 'PLACING' and next_attempt(of_order) = attempt
  on conflict do nothing;
  if not found then return false; end if;
  insert into own_stamp (key_id, timestamp_ms) values (with_key, stamp_ms) on conflict do nothing;
  return true;
end $$;

-- Internal: the checkout link of an attempt's stored answer, and the windows that run from now.
create function show_link(of_order text, attempt integer) returns void language sql volatile as $$
  update deposit d
     set redirect_url = a.answer->>'redirectUrl', advertisement_code = a.answer->>'advertisementCode', placed_at = t.at,
         expires_at = t.at + (d.settings->>'paymentWindowMs')::bigint * interval '1 millisecond',
         listening_until = t.at + ((d.settings->>'paymentWindowMs')::bigint + (d.settings->>'listeningWindowMs')::bigint) * interval '1 millisecond'
    from placement_attempt a, (select clock_timestamp() as at) t
   where d.external_order_number = of_order and a.external_order_number = of_order and a.n = attempt
     and a.answer->>'kind' = 'placed' and d.redirect_url is null
     -- Or people credited a payment of it while its order was being placed.
     and (d.state in ('PLACING', 'PLACEMENT_UNKNOWN') or d.settled_by is not null and d.expires_at is null) $$;

-- Internal: what an attempt's stored outcome makes of the deposit. Windows run from the answer, or from the sending when
-- there is none (docs/lifecycle.md).
create function show_answer(of_order text, attempt integer) returns void language plpgsql volatile as $$
declare outcome text := (select a.outcome from placement_attempt a where a.external_order_number = of_order and a.n = attempt);
begin
  if outcome = 'placed' then
    perform show_link(of_order, attempt);
    update deposit d set state = 'AWAITING_PAYMENT' where d.external_order_number = of_order and d.state = 'PLACING';
  elsif outcome = 'unknown' then
    update deposit d
       set state = case when d.state = 'PLACING' then 'PLACEMENT_UNKNOWN' else d.state end,
           expires_at = a.started_at + (d.settings->>'paymentWindowMs')::bigint * interval '1 millisecond',
           listening_until = a.started_at +
             ((d.settings->>'paymentWindowMs')::bigint + (d.settings->>'listeningWindowMs')::bigint) * interval '1 millisecond'
      from placement_attempt a
     where d.external_order_number = of_order and a.external_order_number = of_order and a.n = attempt
       and (d.state = 'PLACING' or d.settled_by is not null and d.expires_at is null);
  else return;
  end if;
  perform pg_notify('deposit_settled', of_order);
end $$;

-- Writes an attempt that was never sent, so that no late run can send; `RESTORED`: its rows may be lost, and the order is
-- shown as unknown. True when nothing stood in its place.
create function close_attempts(of_order text, attempt integer, why text) returns boolean
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare kind text := case when why = 'RESTORED' then 'unknown' else 'closed' end;
begin
  if (why in ('NOT_SENT', 'TOO_LATE', 'SIGNATURE_ERROR', 'RESTORED')) is not true then raise exception 'no reason to close' using errcode = 'P0E53'; end if;
  -- The deposit before its attempts, as adopt_deposit().
  perform from deposit d where d.external_order_number = of_order for no key update;
  insert into placement_attempt (external_order_number, n, deadline, outcome, answer)
  select of_order, attempt, clock_timestamp(), kind, jsonb_build_object('kind', kind, 'cause', why) where next_attempt(of_order) = attempt
  on conflict do nothing;
  if not found then return false; end if;
  perform show_answer(of_order, attempt);
  return true;
end $$;

-- Stores what became of an attempt, once, and shows it; an answer after "unknown" is kept and shows its link, and what was
-- decided stays. Returns the order's newest attempt as it stands afterwards.
create function end_attempt(of_order text, attempt integer, said jsonb) returns jsonb
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  if (said->>'kind' in ('refused', 'not_sent', 'unknown') or said->>'kind' = 'placed' and said->>'redirectUrl' is not null) is not true then
    raise exception 'no answer' using errcode = 'P0E53'; end if;
  update placement_attempt a set outcome = said->>'kind', answer = said
   where a.external_order_number = of_order and a.n = attempt and a.outcome is null;
  if found then
    perform show_answer(of_order, attempt);
    return said;
  end if;
  update placement_attempt a set answer = said
   where a.external_order_number = of_order and a.n = attempt and a.outcome = 'unknown' and a.answer->>'kind' = 'unknown';
  if found then perform show_link(of_order, attempt); end if;
  -- Once unknown, unknown to every run: the workflow is told of a late answer by the relay, which reads the deposit.
  return (select case when a.outcome = 'unknown' then '{"kind": "unknown", "cause": "no answer by the deadline"}' else coalesce(a.answer, said) end
            from placement_attempt a where a.external_order_number = of_order order by a.n desc limit 1);
end $$;

create function note_skew(ms bigint) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  if abs(ms) > 600000 then raise exception 'a clock that far off is not believed' using errcode = 'P0E53'; end if;
  insert into provider_clock (skew_ms) values (ms) on conflict (id) do update set skew_ms = excluded.skew_ms, at = clock_timestamp();
end $$;

-- States that move no money -----------------------------------------------------------------------------------------------

-- Takes a deposit on: to AWAITING_PAYMENT where its link has come, to EXPIRED and UNPAID when the clock says so, to
-- PLACEMENT_REFUSED where its last attempt was. `done`, also where nothing was to be done; of an end: `bound` or `settled`,
-- and nothing was written; null: no such deposit. Raises P0E54 when it is too early: trying again helps.
-- A second, because whoever waits reads times in milliseconds and by another clock.
create function deposit_step(of_order text, to_state text, why text default null) returns text
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare d record; has_passed timestamptz := clock_timestamp() + interval '1 second';
begin
  select o.state, o.bound_callback, o.redirect_url, o.expires_at, coalesce(o.listening_until, o.created_at +
           ((o.settings->>'paymentWindowMs')::bigint + (o.settings->>'listeningWindowMs')::bigint) * interval '1 millisecond') as listening_until
    into d from deposit o where o.external_order_number = of_order for no key update;
  if not found then return null; end if;
  case to_state
    when 'AWAITING_PAYMENT' then
      update deposit o set state = to_state where o.external_order_number = of_order and d.state = 'PLACEMENT_UNKNOWN' and d.redirect_url is not null;
    when 'EXPIRED' then
      if d.state = 'AWAITING_PAYMENT' then
        if (d.expires_at <= has_passed) is not true then raise exception 'the payment window has not ended' using errcode = 'P0E54'; end if;
        update deposit o set state = to_state where o.external_order_number = of_order;
      end if;
    when 'UNPAID', 'PLACEMENT_REFUSED' then
      if d.state in ('CREDITED', 'REJECTED') then return 'settled'; end if;
      if d.bound_callback is not null then return 'bound'; end if;
      if d.state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED') then
        if to_state = 'PLACEMENT_REFUSED' then
          if (select a.outcome in ('refused', 'not_sent', 'closed') from placement_attempt a
               where a.external_order_number = of_order order by a.n desc limit 1) is not true then
            raise exception 'the order was not refused' using errcode = 'P0E55'; end if;
        else
          if d.listening_until > has_passed then raise exception 'the listening window has not ended' using errcode = 'P0E54'; end if;
          -- A row that was restored says what its workflow has left behind.
          update deposit o set state = case d.state when 'PLACING' then 'PLACEMENT_UNKNOWN' else 'EXPIRED' end
           where o.external_order_number = of_order and d.state in ('PLACING', 'AWAITING_PAYMENT');
        end if;
        update deposit o set state = to_state, refusal = why, closed_at = clock_timestamp() where o.external_order_number = of_order;
      end if;
      perform pg_notify('deposit_settled', of_order);
  end case;
  return 'done';
end $$;

-- People ------------------------------------------------------------------------------------------------------------------

-- Internal: the money of an open case goes into suspense; the facts are those of its inbox row. `posting` null: nothing was
-- parked; `code_stands`: because the transaction code stands with another posting. Locks the case, then the ledger.
create function park_money(of_case text) returns table (posting bigint, code_stands boolean)
language plpgsql volatile set search_path = engine, pg_temp set jit = off as $$
#variable_conflict use_variable
declare m record; answer record;
begin
  posting := null;  code_stands := false;
  select v.parked, c.deposit, c.transaction_code as code, c.data->>'currencyCode' as fiat,
         (c.data->>'transactionAmount')::numeric as amount, (c.data->>'paymentPrice')::numeric as price into m
    from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case and v.closed_at is null for no key update of v;
  if m.parked is not null then posting := m.parked;
  elsif m.code is not null then
    select p.outcome, p.id into answer from ledger.park(jsonb_build_array(jsonb_build_object('key', 'suspense:mtpay:' || m.code, 'deposit', m.deposit,
      'provider', 'mtpay', 'provider_code', m.code, 'amount', m.amount::text, 'fee', '0', 'fiat', m.fiat, 'fiat_amount', m.price::text,
      'unit_price', unit_price(m.price, m.amount)::text, 'workflow_id', of_case))) p;
    -- "duplicate" is another case's money with the same facts: this one has none of its own yet.
    code_stands := answer.outcome <> 'posted';
    if not code_stands then
      posting := answer.id;
      update review_case v set parked = answer.id where v.workflow_id = of_case;
    end if;
  end if;
  return next;
end $$;

create function park(of_case text) returns table (posting bigint, code_stands boolean)
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  select p.posting, p.code_stands from park_money(of_case) p $$;

-- A deposit's own payment that no machine may credit: the case, the deposit's state, the outcome of the callback, and the
-- money in suspense where asked. `given` false: the callback is no deposit's payment, or the deposit is settled. Idempotent.
create function give_to_people(of_inbox bigint, why text, what text, is_late boolean, to_park boolean)
returns table (given boolean, posting bigint, code_stands boolean)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
#variable_conflict use_variable
declare n text; of_case text;
begin
  given := false;  code_stands := false;
  select d.external_order_number, 'deposit:' || d.external_order_number into n, of_case from deposit d where d.bound_callback = of_inbox;
  perform from review_case v where v.workflow_id = of_case for no key update;
  perform from deposit d where d.external_order_number = n and d.state not in ('CREDITED', 'REJECTED') for no key update;
  if not found then return next; return; end if;
  insert into review_case (workflow_id, callback, reason, detail) values (of_case, of_inbox, why, what) on conflict do nothing;
  update deposit d set state = 'IN_REVIEW', review_reason = coalesce(d.review_reason, why), late = is_late where d.external_order_number = n;
  update callback c set outcome = 'review:' || of_case where c.id = of_inbox and c.outcome is null;
  given := true;
  if to_park then select p.posting, p.code_stands into posting, code_stands from park_money(of_case) p; end if;
  return next;
end $$;

-- Shows which proposal waits in an open case; null: none. Only a proposal of that case.
create function show_proposal(of_case text, shown bigint) returns void
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  update review_case v set proposal = shown
   where v.workflow_id = of_case and v.closed_at is null
     and (shown is null or exists (select from decision p where p.id = shown and p.workflow_id = of_case and p.step = 'propose')) $$;

-- Archive -----------------------------------------------------------------------------------------------------------------

-- Takes what is due, longest waiting first; it comes again after ten seconds, then ever more seldom, at last every hour.
create function archive_look(at_most integer) returns table (workflow_id text, closed_at timestamptz)
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  with mine as (
    select a.workflow_id from archive_due a where a.look_at <= clock_timestamp()
     order by a.look_at limit least(at_most, 1000) for update skip locked)
  update archive_due d
     set look_at = clock_timestamp() + least(interval '1 hour', interval '10 seconds' * 2 ^ least(d.looks, 10)), looks = d.looks + 1
    from mine where d.workflow_id = mine.workflow_id
  returning d.workflow_id, d.closed_at $$;

-- Notes that Temporal does not have the history of a workflow that waits to be archived. True: this was not known before.
create function archive_lose(of_workflow text, of_run text) returns boolean
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  insert into archive_lost (workflow_id, run_id, closed_at)
  select d.workflow_id, of_run, d.closed_at from archive_due d where d.workflow_id = of_workflow on conflict do nothing;
  return found;
end $$;

-- A text by its hash, packed; what is not that text is found whenever it is read.
create function archive_put(of_hash bytea, as_kind text, packed bytea) returns void
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  insert into archive_object (hash, kind, bytes) values (of_hash, as_kind, packed) on conflict do nothing $$;

revoke execute on function unit_price(numeric, numeric), is_for_machine(jsonb, text, numeric, numeric, text, numeric, numeric), credit(jsonb),
  next_attempt(text), begin_attempt(text, integer, bigint, text, bigint), show_link(text, integer), show_answer(text, integer),
  close_attempts(text, integer, text), end_attempt(text, integer, jsonb), note_skew(bigint), deposit_step(text, text, text), park_money(text),
  park(text), give_to_people(bigint, text, text, boolean, boolean), show_proposal(text, bigint), archive_look(integer),
  archive_lose(text, text), archive_put(bytea, text, bytea) from public;
grant execute on function credit(jsonb), begin_attempt(text, integer, bigint, text, bigint), close_attempts(text, integer, text),
  end_attempt(text, integer, jsonb), note_skew(bigint), deposit_step(text, text, text), park(text),
  give_to_people(bigint, text, text, boolean, boolean), show_proposal(text, bigint), archive_look(integer), archive_lose(text, text),
  archive_put(bytea, text, bytea) to app_worker;
reset role;
revoke create on schema engine from engine_owner;

-- Not through ledger_poster, which loses them (021-contract.sql).
set local role ledger_owner;
grant execute on function ledger.credit(jsonb), ledger.park(jsonb) to engine_owner;
reset role;
