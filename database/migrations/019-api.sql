-- What the API writes: the inbox, the cases that the engine opens for it by itself, and what was told to a workflow. Which
-- receipt a message gets is decided in api/route-callback.ts; here is what no message can do, whoever asks.
grant insert on engine.callback, engine.callback_stamp, engine.callback_attempt to engine_owner;
grant insert (workflow_id, callback, reason, detail), update (held_by) on engine.review_case to engine_owner;
grant update (deposit, receipt, review_reason, acked, attempts, last_at, raised_at, outcome) on engine.callback to engine_owner;
grant update (bound_callback, told_at) on engine.deposit to engine_owner;
grant update (reflected_at) on engine.own_stamp to engine_owner;
grant execute on function engine.adopt_deposit(text, timestamptz) to engine_owner;

-- As before, and the deposit's lock comes before its attempts: receive_restored() holds the one when it needs the others.
create or replace function engine.adopt_deposit(of_order text, until timestamptz default null) returns boolean
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  select from deposit d where d.external_order_number = of_order for no key update;
  insert into placement_attempt (external_order_number, n, started_at, deadline, outcome, answer)
  select d.external_order_number, coalesce(a.n, 0) + 1, t.at, t.at, 'unknown', '{"kind": "unknown", "cause": "ADOPTED"}'
    from deposit d cross join (select clock_timestamp() as at) t
    left join lateral (select a.n, a.outcome from placement_attempt a
                        where a.external_order_number = d.external_order_number order by a.n desc limit 1) a on true
   where d.external_order_number = of_order and d.state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED')
     and (a.n is null or a.outcome = 'not_sent')
  on conflict do nothing;
  with adopted as (
    update deposit d set state = 'PLACEMENT_UNKNOWN', expires_at = w.until,
           listening_until = w.until + (d.settings->>'listeningWindowMs')::bigint * interval '1 millisecond'
      from (select p.external_order_number as n, coalesce(adopt_deposit.until, clock_timestamp() +
                   (p.settings->>'paymentWindowMs')::bigint * interval '1 millisecond') as until
              from deposit p where p.external_order_number = of_order) w
     where d.external_order_number = w.n and d.state = 'PLACING' returning 1)
  select exists (select from adopted) $$;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Messages --------------------------------------------------------------------------------------------------------------

-- What a message is judged by, under the lock of its deposit, and that its stamp has come back if it is one of ours.
-- Every fact is read after the lock was had. `state` null: there is no such deposit. Once `acked` nothing else is said.
create function arriving(of_order text, content bytea, by_key text, at_ms bigint,
  out state text, out listening_ms bigint, out bound bigint, out bound_code text,
  out known bigint, out known_stamp_ms bigint, out acked boolean, out reflected text, out stands_for bytea, out first_sent_ms bigint)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  select d.state, (d.settings->>'listeningWindowMs')::bigint, d.bound_callback into state, listening_ms, bound
    from deposit d where d.external_order_number = of_order for no key update;
  select c.id, c.acked into known, acked from callback c where c.external_order_number = of_order and c.content_hash = content;
  if acked then return; end if;
  select a.timestamp_ms into known_stamp_ms from callback_attempt a where a.callback = known and a.n = 1;
  select case when s.reflected_at is null then 'first time' else 'again' end into reflected
    from own_stamp s where s.key_id = by_key and s.timestamp_ms = at_ms for no key update;
  if reflected = 'first time' then
    update own_stamp s set reflected_at = clock_timestamp() where s.key_id = by_key and s.timestamp_ms = at_ms;
  end if;
  if state is null then return; end if;
  -- The content that came with this stamp first, be it as a repeat or while the order was unknown.
  select f.content_hash into stands_for from (
    (select s.content_hash from callback_stamp s
      where s.key_id = by_key and s.timestamp_ms = at_ms and s.external_order_number = of_order)
    union all
    (select c.content_hash from callback c join callback_attempt a on a.callback = c.id
      where c.external_order_number = of_order and a.key_id = by_key and a.timestamp_ms = at_ms order by a.at, c.id limit 1)) f limit 1;
  select c.transaction_code into bound_code from callback c where c.id = bound;
  -- An attempt that was written for a lost one does not say when the order was sent.
  select (extract(epoch from min(a.started_at)) * 1000)::bigint into first_sent_ms
    from placement_attempt a where a.external_order_number = of_order and a.answer->>'cause' is distinct from 'ADOPTED';
end $$;

-- Locks the deposit. A first callback needs one that is open and owns no payment; every other kind but `unknown_order`
-- needs one. Answers whether there is one.
create function admit_receipt(of_order text, as_receipt text, is_readable boolean) returns boolean
language plpgsql volatile set search_path = engine, pg_temp as $$
declare d record;
begin
  select x.state, x.bound_callback into d from deposit x where x.external_order_number = of_order for no key update;
  if as_receipt = 'restored' or (as_receipt <> 'unknown_order' and d.state is null) or (as_receipt = 'first' and
     (not is_readable or d.bound_callback is not null or d.state in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'))) then
    raise exception 'no message of % becomes %', of_order, as_receipt using errcode = 'P0E60';
  end if;
  return d.state is not null;
end $$;

-- An order that we do not have may be in a backup that is not restored yet: the provider is kept retrying for six hours,
-- then people have the message.
create function unknown_for_long(of_order text) returns boolean language plpgsql volatile set search_path = engine, pg_temp as $$
begin
  return coalesce((select clock_timestamp() - min(c.received_at) > interval '6 hours'
                     from callback c where c.external_order_number = of_order and c.receipt = 'unknown_order'), false);
end $$;

-- So many attempts of one content are kept one by one; more are counted only.
create function keep_attempts(of_callback bigint, from_n integer, to_n integer, by_key text, at_ms bigint) returns void
language plpgsql volatile set search_path = engine, pg_temp as $$
begin
  insert into callback_attempt (callback, n, key_id, timestamp_ms)
  select of_callback, s.n, by_key, at_ms from generate_series(from_n, least(to_n, 50)) s(n) where by_key is not null
  on conflict do nothing;
end $$;

-- The stamp of a message whose order is known stands for its content, unless it stands for another; and the first payment
-- is the deposit's.
create function settle_routing(c callback, by_key text, at_ms bigint) returns void
language plpgsql volatile set search_path = engine, pg_temp as $$
begin
  insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
  select by_key, at_ms, c.external_order_number, c.content_hash where by_key is not null and c.deposit is not null
  on conflict do nothing;
  if c.receipt = 'first' then
    update deposit d set bound_callback = c.id where d.external_order_number = c.deposit;
  end if;
end $$;

-- A new message with what it was signed with and the API's seal, `copies` of it at once. What nobody acknowledges is only
-- that of an order which we do not have, and have not had for six hours.
create function receive(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint,
  copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint) returns setof callback
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare c callback; is_known boolean := admit_receipt(of_order, as_receipt, says is not null);
begin
  if num_nulls(by_key, at_ms, by_seal, by_seal_key, at_sealed_ms) > 0 or copies not between 1 and 1000 then
    raise exception 'a message has a stamp and a seal' using errcode = 'P0E60';
  end if;
  insert into callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked, attempts,
                        seal, seal_key, sealed_ms)
  values (of_order, case when as_receipt <> 'unknown_order' then of_order end, says->>'transactionCode', content, says, bytes,
          as_receipt, reason, as_receipt <> 'unknown_order' or (not is_known and unknown_for_long(of_order)), copies,
          by_seal, by_seal_key, at_sealed_ms)
  returning * into c;
  perform keep_attempts(c.id, 1, copies, by_key, at_ms);
  perform settle_routing(c, by_key, at_ms);
  return next c;
end $$;

-- A message that was kept while its order was unknown gets its routing, once: the order has turned up, or has been unknown
-- for long enough. `copies` of it came again now; 0: none. One that has its routing meanwhile is only counted. Without a
-- stamp: from before stamps were kept.
create function reroute(of_callback bigint, as_receipt text, reason text, by_key text, at_ms bigint, copies integer) returns setof callback
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare c callback; is_known boolean;
begin
  select * into c from callback x where x.id = of_callback;
  is_known := admit_receipt(c.external_order_number, as_receipt, c.data is not null);
  update callback x set attempts = x.attempts + copies, last_at = case when copies > 0 then clock_timestamp() else x.last_at end
   where x.id = of_callback and copies between 0 and 1000 returning * into c;
  perform keep_attempts(c.id, c.attempts - copies + 1, c.attempts, by_key, at_ms);
  if c.receipt = 'unknown_order' and not c.acked and c.outcome is null then
    -- The stamp that its seal covers has to fit the order: else whoever may reserve a deposit could have it paid by a message
    -- of before. Five minutes, as api/route-callback.ts has it, and one for another reading of the clocks.
    if as_receipt = 'first' and not exists (
         select from placement_attempt a join callback_attempt k on k.callback = c.id and k.n = 1
          where a.external_order_number = c.external_order_number and a.answer->>'cause' is distinct from 'ADOPTED'
            and extract(epoch from a.started_at) * 1000 - 360000
                <= k.timestamp_ms - coalesce((select p.skew_ms from provider_clock p), 0)) then
      raise exception 'a message of % from before its order becomes %', c.external_order_number, as_receipt using errcode = 'P0E60';
    end if;
    update callback x
       set deposit = case when as_receipt <> 'unknown_order' then x.external_order_number end, receipt = as_receipt, review_reason = reason,
           acked = as_receipt <> 'unknown_order' or (not is_known and unknown_for_long(x.external_order_number))
     where x.id = of_callback returning * into c;
    perform settle_routing(c, by_key, at_ms);
  end if;
  return next c;
end $$;

-- Counts `copies` that came again. `other`: the content of a message that is counted here and not kept, for which its stamp
-- stands all the same.
create function count_attempt(of_callback bigint, by_key text, at_ms bigint, copies integer, other bytea default null) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
begin
  -- One statement: every repeat of every callback comes by here.
  with counted as (
    update callback c set attempts = c.attempts + copies, last_at = clock_timestamp()
     where c.id = of_callback and copies between 1 and 1000 returning c.id, c.attempts, c.external_order_number),
  stamped as (
    insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
    select by_key, at_ms, c.external_order_number, other from counted c where other is not null on conflict do nothing)
  insert into callback_attempt (callback, n, key_id, timestamp_ms)
  select c.id, s.n, by_key, at_ms from counted c cross join generate_series(c.attempts - copies + 1, least(c.attempts, 50)) s(n)
   where by_key is not null and other is null on conflict do nothing;
end $$;

-- What PostgreSQL has lost and a history still knows, as a row that people get a case about; none: it is there already. Of
-- an open deposit without a payment, whose workflow has ended: its order is never placed again. Or of a case whose row is
-- lost: only where somebody has noted a restore.
create function receive_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint) returns setof callback
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare d record;
begin
  select x.external_order_number as n, x.state, x.bound_callback into d from deposit x where x.external_order_number = of_order for no key update;
  if why = 'RESTORED' then
    if d.n is null or d.bound_callback is not null or d.state in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID') then return; end if;
    perform adopt_deposit(of_order);
  elsif why is distinct from 'CASE_RESTORED' or not exists (select from restored) then
    raise exception 'nothing of % was restored', of_order using errcode = 'P0E60';
  end if;
  return query
    insert into callback as c (external_order_number, deposit, content_hash, raw, receipt, review_reason, acked, seal, seal_key, sealed_ms)
    values (of_order, d.n, sha256(convert_to('restored|' || said, 'UTF8')), convert_to(said, 'UTF8'), 'restored', why, true,
            by_seal, by_seal_key, at_sealed_ms)
    on conflict do nothing returning c.*;
end $$;

-- Telling of them -------------------------------------------------------------------------------------------------------

-- The case of a callback, by the name that its workflow has.
create function case_of(of_callback bigint, uid uuid) returns text language sql immutable as $$
  select 'review:' || of_callback || coalesce('-' || left(uid::text, 8), '') $$;

-- The engine opens a case about an acknowledged callback that nothing has come of, or finds the one that it has opened. None:
-- something came of it, or another case about it is open.
create function open_case(of_callback bigint) returns table (id text, reason text, detail text)
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  insert into review_case (workflow_id, callback, reason, detail)
  select case_of(c.id, c.uid), c.id, coalesce(c.review_reason, 'WORKFLOW_GONE'),
         case when c.receipt = 'restored' then convert_from(c.raw, 'UTF8') else '' end
    from callback c where c.id = of_callback and c.acked and c.outcome is null
  on conflict do nothing;
  select v.workflow_id, v.reason, v.detail from callback c join review_case v on v.workflow_id = case_of(c.id, c.uid) and v.callback = c.id
   where c.id = of_callback $$;

-- Its workflow has accepted a callback. `in_case`: that of its case, whose name is then its outcome, once.
create function raised(of_callback bigint, in_case boolean) returns void
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  update callback c
     set raised_at = clock_timestamp(),
         outcome = coalesce(c.outcome, (select 'review:' || v.workflow_id from review_case v
                                         where in_case and v.workflow_id = case_of(c.id, c.uid) and v.callback = c.id))
   where c.id = of_callback and c.acked $$;

-- Another workflow holds an open case from now on, and answers its name. Null: somebody else was first, or it is decided.
create function hand_over(of_case text, was_held_by text) returns text
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  update review_case v
     set held_by = v.workflow_id || ':again:' || coalesce(substring(v.held_by from ':again:([0-9]+)$')::integer, 0) + 1
   where v.workflow_id = of_case and v.held_by is not distinct from was_held_by and v.closed_at is null
  returning v.held_by $$;

-- The workflow of a deposit that people have settled knows of it.
create function told(of_order text) returns void
language sql volatile security definer set search_path = engine, pg_temp set jit = off as $$
  update deposit d set told_at = clock_timestamp()
   where d.external_order_number = of_order and d.settled_by is not null and d.told_at is null $$;

revoke execute on function arriving(text, bytea, text, bigint), admit_receipt(text, text, boolean), unknown_for_long(text),
  keep_attempts(bigint, integer, integer, text, bigint), settle_routing(callback, text, bigint), case_of(bigint, uuid),
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  reroute(bigint, text, text, text, bigint, integer), count_attempt(bigint, text, bigint, integer, bytea),
  receive_restored(text, text, text, bytea, text, bigint), open_case(bigint), raised(bigint, boolean), hand_over(text, text), told(text)
  from public;
grant execute on function arriving(text, bytea, text, bigint),
  receive(text, bytea, jsonb, bytea, text, text, text, bigint, integer, bytea, text, bigint),
  reroute(bigint, text, text, text, bigint, integer), count_attempt(bigint, text, bigint, integer, bytea),
  receive_restored(text, text, text, bytea, text, bigint), open_case(bigint), raised(bigint, boolean), hand_over(text, text), told(text)
  to app_api;

reset role;
revoke create on schema engine from engine_owner;
