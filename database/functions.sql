-- The present text of every function. Made by `npm run catalogue`; nothing runs this file.

CREATE OR REPLACE FUNCTION engine.admit_api_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare living integer;
begin
  -- No '+': decisions of two operators are written with their names joined by it.
  if new.name !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
    raise exception 'a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit' using errcode = 'P0E11';
  end if;
  -- Who decides about money must not be able to order it as well.
  if new.scopes @> '{reviews:decide}' and new.scopes @> '{deposits:create}' then
    raise exception 'a key with reviews:decide may not hold deposits:create' using errcode = 'P0E12';
  end if;
  perform from engine.turn t where t.what = 'api_key' for update;
  select count(*) into living from engine.api_key k
   where k.name = new.name and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp());
  if living >= 2 then
    raise exception '% holds two living keys already', new.name using errcode = 'P0E13';
  end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.admit_receipt(of_order text, as_receipt text, is_readable boolean)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare d record;
begin
  select x.state, x.bound_callback into d from deposit x where x.external_order_number = of_order for no key update;
  if as_receipt = 'restored' or (as_receipt <> 'unknown_order' and d.state is null) or (as_receipt = 'first' and
     (not is_readable or d.bound_callback is not null or d.state in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'))) then
    raise exception 'no message of % becomes %', of_order, as_receipt using errcode = 'P0E60';
  end if;
  return d.state is not null;
end $function$;

CREATE OR REPLACE FUNCTION engine.admit_step()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare held review_case; proposed decision; one_suffices boolean;
begin
  select * into held from review_case v where v.workflow_id = new.workflow_id for no key update;
  if held.workflow_id is null then raise exception 'there is no case %', new.workflow_id using errcode = 'P0E30'; end if;
  if held.closed_at is not null then raise exception 'case_closed' using errcode = 'P0E31'; end if;
  if new.step = 'propose' then return new; end if;
  if held.proposal is null then raise exception 'no_proposal' using errcode = 'P0E32'; end if;
  if held.proposal <> new.proposal then raise exception 'other_proposal' using errcode = 'P0E33'; end if;
  if new.step = 'withdraw' then return new; end if;
  select * into proposed from decision p where p.id = new.proposal;
  if proposed.operator <> new.operator then return new; end if;
  select proposed.beside is null and (c.data->>'transactionAmount')::numeric <= (d.settings->>'reviewLimit')::numeric and d.created_at <= c.received_at
         and not exists (select from callback_attempt a where a.callback = c.id and a.n = 1
                            and a.timestamp_ms < date_part('epoch', d.created_at) * 1000 - 660000) into one_suffices
    from callback c left join deposit d on d.external_order_number = c.external_order_number where c.id = held.callback;
  if one_suffices is not true then raise exception 'same_operator' using errcode = 'P0E34'; end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.adopt_deposit(of_order text, until timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
  select exists (select from adopted) $function$;

CREATE OR REPLACE FUNCTION engine.append_archive(of_workflow text, of_run text, of_type text, as_status text, closed timestamp with time zone, event_count integer, history bytea, bundle bytea, by_sdk text, by_version text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare head archive; fresh archive;
begin
  -- An answer must mean "on disk", whatever the session asked for.
  if current_setting('synchronous_commit') <> 'remote_apply' then perform set_config('synchronous_commit', 'on', true); end if;
  perform from turn t where t.what = 'archive' for update;
  select * into fresh from archive a where a.run_id = of_run;
  if found then return fresh.n; end if;
  select * into head from archive order by n desc limit 1;
  fresh.n := coalesce(head.n, 0) + 1;
  fresh.prev := coalesce(head.hash, sha256('engine.archive'));
  fresh.workflow_id := of_workflow;  fresh.run_id := of_run;  fresh.workflow_type := of_type;  fresh.status := as_status;
  fresh.closed_at := closed;  fresh.events := event_count;  fresh.history_hash := history;  fresh.bundle_hash := bundle;
  fresh.sdk := by_sdk;  fresh.version := by_version;  fresh.archived_at := clock_timestamp();
  fresh.hash := sha256(fresh.prev || convert_to(archive_line(fresh), 'UTF8'));
  insert into archive select fresh.*;
  return fresh.n;
end $function$;

CREATE OR REPLACE FUNCTION engine.archive_done(of_workflow text, as_of timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  if not exists (select from archive a where a.workflow_id = of_workflow)
     and not exists (select from archive_lost l where l.workflow_id = of_workflow) then
    raise exception '% is not archived', of_workflow using errcode = 'P0E21';
  end if;
  delete from archive_due d where d.workflow_id = of_workflow and d.closed_at <= as_of;
end $function$;

CREATE OR REPLACE FUNCTION engine.archive_line(a engine.archive)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select concat_ws('|', a.n, a.workflow_id, a.run_id, a.workflow_type, a.status,
    (extract(epoch from a.closed_at) * 1000000)::bigint, a.events, encode(a.history_hash, 'hex'),
    coalesce(encode(a.bundle_hash, 'hex'), ''), a.sdk, a.version, (extract(epoch from a.archived_at) * 1000000)::bigint) $function$;

CREATE OR REPLACE FUNCTION engine.archive_look(at_most integer)
 RETURNS TABLE(workflow_id text, closed_at timestamp with time zone)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  with mine as (
    select a.workflow_id from archive_due a where a.look_at <= clock_timestamp()
     order by a.look_at limit least(at_most, 1000) for update skip locked)
  update archive_due d
     set look_at = clock_timestamp() + least(interval '1 hour', interval '10 seconds' * 2 ^ least(d.looks, 10)), looks = d.looks + 1
    from mine where d.workflow_id = mine.workflow_id
  returning d.workflow_id, d.closed_at $function$;

CREATE OR REPLACE FUNCTION engine.archive_lose(of_workflow text, of_run text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  insert into archive_lost (workflow_id, run_id, closed_at)
  select d.workflow_id, of_run, d.closed_at from archive_due d where d.workflow_id = of_workflow on conflict do nothing;
  return found;
end $function$;

CREATE OR REPLACE FUNCTION engine.archive_put(of_hash bytea, as_kind text, packed bytea)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  insert into archive_object (hash, kind, bytes) values (of_hash, as_kind, packed) on conflict do nothing;
end $function$;

CREATE OR REPLACE FUNCTION engine.arriving(of_order text, content bytea, by_key text, at_ms bigint, OUT state text, OUT listening_ms bigint, OUT bound bigint, OUT bound_code text, OUT known bigint, OUT known_stamp_ms bigint, OUT acked boolean, OUT reflected text, OUT stands_for bytea, OUT first_sent_ms bigint)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  select d.state, (d.settings->>'listeningWindowMs')::bigint, d.bound_callback into state, listening_ms, bound
    from deposit d where d.external_order_number = of_order for no key update;
  select c.id, c.acked into known, acked from callback c where c.external_order_number = of_order and c.content_hash = content;
  if acked then return; end if;
  select a.timestamp_ms into known_stamp_ms from callback_attempt a where a.callback = known and a.n = 1;
  select case when left(of_order, 64) = any(s.reflected_for) or cardinality(s.reflected_for) >= 100
         or octet_length(s.reflected_for::text) > 32000 then 'again' else 'first time' end into reflected
    from own_stamp s where s.key_id = by_key and s.timestamp_ms = at_ms for no key update;
  if reflected = 'first time' then
    update own_stamp s set reflected_at = coalesce(s.reflected_at, clock_timestamp()), reflected_for = s.reflected_for || left(of_order, 64) where s.key_id = by_key and s.timestamp_ms = at_ms;
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
end $function$;

CREATE OR REPLACE FUNCTION engine.as_time(at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $function$;

CREATE OR REPLACE FUNCTION engine.await_archive(of_workflow text, closed timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  insert into archive_due values (of_workflow, closed, 0, clock_timestamp() + interval '2 seconds')
  on conflict (workflow_id) do update
     set closed_at = greatest(archive_due.closed_at, excluded.closed_at), looks = 0, look_at = excluded.look_at;
end $function$;

CREATE OR REPLACE FUNCTION engine.begin_attempt(of_order text, attempt integer, deadline_ms bigint, with_key text, stamp_ms bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.bring_in(of_case text, proposal_id bigint, confirmation_id bigint, doubt text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$ begin return carry_out(of_case, proposal_id, confirmation_id, 'bring in', left(doubt, 200)); end $function$;

CREATE OR REPLACE FUNCTION engine.caller(proof bytea)
 RETURNS TABLE(key_id text, name text, scopes text[], wallets text[])
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  return query select 'K' || k.id, k.name, k.scopes, k.wallets from api_key k
   where k.proof_hash = sha256(proof) and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp());
end $function$;

CREATE OR REPLACE FUNCTION engine.carry_out(of_case text, proposal_id bigint, confirmation_id bigint, stage text, doubt text)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
declare
  it case_now; after case_now; p decision; k decision; before carried; no refused;
  actor text; outcome text; posted bigint; settled jsonb; answer jsonb;
begin
  -- 0. What was committed while the locks were waited for has to be seen, a withdrawal above all.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a decision is carried out in a read committed transaction' using errcode = '25000'; end if;
  -- 1. Locks: the case, then the deposits it can touch by number (docs/ledger.md#locks).
  perform from review_case v where v.workflow_id = of_case for no key update;
  perform from deposit d where d.external_order_number = any (array(
      select c.external_order_number from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case
      union all select s.to_deposit from decision s where s.id = proposal_id and s.workflow_id = of_case
      union all select t.deposit collate "default" from case_now n join ledger.transaction t on t.id = n.tip where n.workflow_id = of_case))
    order by d.external_order_number for no key update;

  -- 2. What was carried out answers first, whatever came after it; and a proposal comes to something once.
  select r.* into before from carried r join decision s on s.id = r.proposal where r.proposal = proposal_id and s.workflow_id = of_case;
  if before.confirmation = confirmation_id then return before.answer; end if;
  if before.proposal is not null then
    return jsonb_build_object('kind', 'refused', 'refusal', 'unproven', 'detail', 'the proposal was carried out before'); end if;
  select * into it from case_now v where v.workflow_id = of_case;
  if it.workflow_id is null then
    return jsonb_build_object('kind', 'refused', 'refusal', 'not_written', 'detail', 'there is no case ' || of_case); end if;
  -- A case that was decided before what was carried out was written down.
  if it.closed_at is not null and it.proposal = proposal_id then
    return jsonb_build_object('kind', 'decided', 'decision', it.decision, 'postingId', it.posting::text, 'decidedBy', it.decided_by); end if;

  -- 3. Whether it is what people wrote down, read again where the money moves.
  select * into p from decision s where s.id = proposal_id and s.workflow_id = of_case and s.step = 'propose';
  select * into k from decision s where s.id = confirmation_id and s.workflow_id = of_case and s.step = 'confirm' and s.proposal = p.id;
  actor := concat_ws('+', p.operator, nullif(k.operator, p.operator));
  if it.closed_at is not null then no := ('case_closed', 'the case was decided before')::refused;
  else no := decision_refused(it, p, k); end if;

  -- 4. The posting.
  if no.refusal is null and (stage like 'refuse%' or stage = 'bring in' and p.decision = 'credit' and doubt is not null) then
    no := (case stage when 'refuse as unproven' then 'unproven' else 'not_possible' end, doubt)::refused;
  end if;
  if no.refusal is null and p.decision = 'credit' and it.standing in ('nothing', 'unreadable', 'parked')
     and not (select is_vouched(c.vouched_by) from callback c where c.id = it.callback) then
    no := ('unproven', 'no registered key of the seals vouches for its inbox row')::refused;
  end if;
  if no.refusal is null and stage = 'bring in' then
    no := decision_bring_in(it, p);
    if no.refusal is null then return null; end if;
  elsif no.refusal is null then
    select m.outcome, m.id into outcome, posted from decision_move(it, p, actor) m;
    -- A chain is a list and its tip was read under the case's lock: what stands in the way is the deposit's slot.
    if outcome = 'conflict' then no := credited_meanwhile(posted); posted := null; end if;
  end if;

  -- 5. What it came to.
  if no.refusal is not null then
    answer := jsonb_build_object('kind', 'refused', 'refusal', no.refusal, 'detail', no.detail, 'standing', it.standing);
    -- Somebody else's message, and what comes too late: nothing came of these.
    if no.refusal in ('not_written', 'case_closed') then return answer; end if;
  else
    select * into after from case_now v where v.workflow_id = of_case;
    if posted is not null and after.standing in ('withdrawn', 'parked') then
      update review_case v set parked = posted, proposal = null where v.workflow_id = of_case;
      answer := jsonb_build_object('kind', 'withdrawn', 'postingId', posted::text, 'decidedBy', actor, 'standing', after.standing);
    else
      settled := decision_conclude(it, p, actor, posted);
      answer := jsonb_build_object('kind', 'decided', 'decision', p.decision, 'postingId', posted::text, 'decidedBy', actor)
        || case when settled is null then '{}' else jsonb_build_object('settled', settled) end
        || case when p.decision = 'credit' and coalesce(p.to_deposit, it.deposit) is distinct from it.deposit then '{"elsewhere": true}' else '{}' end::jsonb;
    end if;
  end if;
  insert into carried (proposal, confirmation, outcome, posting, answer)
  values (p.id, k.id, answer->>'kind', posted, answer) on conflict do nothing;
  return answer;
end $function$;

CREATE OR REPLACE FUNCTION engine.case_closed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$ begin
  perform await_archive(new.workflow_id, new.closed_at);
  if new.held_by is not null then perform await_archive(new.held_by, new.closed_at); end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION engine.case_of(of_callback bigint, uid uuid)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select 'review:' || of_callback || coalesce('-' || left(uid::text, 8), '') $function$;

CREATE OR REPLACE FUNCTION engine.case_wallet()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  new.wallet := (select d.wallet from callback c join deposit d on d.external_order_number = c.external_order_number where c.id = new.callback);
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.change_endpoint(proof bytea, of_endpoint bigint, new_url text, new_types text[], enabled boolean)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare p endpoint := own_endpoint(proof, of_endpoint);
begin
  if new_url is not null then update endpoint set url = new_url where id = p.id; end if;
  if new_types is not null and nullif(new_types, '{}') is distinct from p.types then
    update endpoint set types = nullif(new_types, '{}'), from_position = last_place() where id = p.id;
  end if;
  if enabled then
    update endpoint set state = 'on', failures = 0, failing_since = null, warned = 0, resume_at = clock_timestamp(), probe = null where id = p.id;
    perform from delivery_line l where l.endpoint = p.id and l.next_at > clock_timestamp() order by l.subject for update;
    update delivery_line set next_at = clock_timestamp() where endpoint = p.id and next_at > clock_timestamp();
    perform pg_notify('event_published', '');
  elsif not enabled then
    update endpoint set state = 'off' where id = p.id and state = 'on';
  end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.claim_deliveries(at_most integer)
 RETURNS TABLE(attempt bigint, endpoint_id bigint, owner text, url text, signature text, secret bytea, secret_before bytea, name text, body text, is_redelivery boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare p endpoint; due bigint[]; share integer; room integer; is_failing boolean; r redelivery; of_position bigint; claimed integer; subjects text[]; by_token uuid := gen_random_uuid();
begin
  -- Those with the fewest messages under way come first, those that failed later, and each gets its share: so dead ones do not hold up the others.
  due := array(
    select x.id from endpoint x
     cross join lateral (select count(*) as n from delivery_line l where l.endpoint = x.id and l.leased_until > statement_timestamp()) under_way
     where x.state = 'on' and (x.resume_at is null or x.resume_at <= statement_timestamp()) and under_way.n < 8
       and (exists (select from delivery_line l where l.endpoint = x.id and l.next_at <= statement_timestamp())
            or x.failures >= 3 and exists (select from delivery_line l where l.endpoint = x.id)
            or exists (select from redelivery o where o.endpoint = x.id and o.done_at is null and o.next_at <= statement_timestamp()))
     order by under_way.n + 2 * least(x.failures, 3) + random());
  share := greatest(1, at_most / greatest(1, cardinality(due)));
  for p in
    select x.* from unnest(due) with ordinality o(id, place) join endpoint x on x.id = o.id
     where x.state = 'on' and (x.resume_at is null or x.resume_at <= statement_timestamp())
     order by o.place for no key update of x skip locked
  loop
    exit when at_most <= 0;
    is_failing := p.failures >= 3;
    room := least(at_most, case when is_failing then 1 else 8 end
      - (select count(*) from delivery_line l where l.endpoint = p.id and l.leased_until > clock_timestamp())::integer
      - (select count(*) from redelivery o where o.endpoint = p.id and o.done_at is null and o.leased_until > clock_timestamp())::integer);
    continue when room <= 0;

    -- While it fails, only one message uses up its tries. The others try in between, so that one message that always fails holds up nothing.
    if is_failing and p.probe is null then
      select l.subject into p.probe from delivery_line l where l.endpoint = p.id order by l.next_at limit 1;
      update endpoint set probe = p.probe where id = p.id;
    end if;
    with taken as (
      update delivery_line l set token = by_token, leased_until = clock_timestamp() + interval '30 s'
       where l.ctid = any (array(
         select d.ctid from delivery_line d
          where d.endpoint = p.id and d.next_at <= statement_timestamp() and (d.leased_until is null or d.leased_until <= statement_timestamp())
            and (not is_failing or d.subject = p.probe)
          order by d.next_at limit least(room, share) for update skip locked))
       returning l.subject)
    select array_agg(t.subject) into subjects from taken t;
    if is_failing and subjects is null then
      update delivery_line l set token = by_token, leased_until = clock_timestamp() + interval '30 s'
       where l.ctid = (select z.ctid from delivery_line z where z.ctid = (select o.at from (
         select d.ctid as at, d.subject from delivery_line d
          where d.endpoint = p.id and (d.leased_until is null or d.leased_until <= statement_timestamp()) order by d.next_at limit 1000) o
          order by o.subject = p.probe, random() limit 1) for update skip locked)
      returning array[l.subject] into subjects;
    end if;
    -- A redelivery may have been received meanwhile.
    delete from delivery_line l where l.endpoint = p.id and l.subject = any (subjects)
       and not exists (select from delivery d where d.subject = l.subject and d.endpoint = p.id and d.outcome is null);
    return query
      with head as (
        select f.subject, f.sequence, l.next_at <= statement_timestamp() and (not is_failing or l.subject = p.probe) as counts
          from delivery_line l
         cross join lateral (select d.subject, d.sequence from delivery d where d.subject = l.subject and d.endpoint = p.id and d.outcome is null
                              order by d.sequence limit 1) f
         where l.endpoint = p.id and l.subject = any (subjects)),
      said as (
        select h.*, b.name, b.body::text as body from head h join event e on e.subject = h.subject and e.sequence = h.sequence join event_body b on b.id = e.id),
      tried as (
        insert into delivery_attempt (subject, sequence, endpoint, token, counts, body_hash)
        select s.subject, s.sequence, p.id, by_token, s.counts, sha256(convert_to(s.body, 'UTF8')) from said s
        returning delivery_attempt.id, delivery_attempt.subject, delivery_attempt.sequence)
      select t.id, p.id, p.owner, p.url, p.signature, p.secret, case when p.before_until > clock_timestamp() then p.secret_before end, s.name, s.body, false
        from tried t join said s using (subject, sequence);
    get diagnostics claimed = row_count;
    at_most := at_most - claimed;
    continue when claimed >= room or at_most <= 0;

    select o.* into r from redelivery o
     where o.endpoint = p.id and o.done_at is null and o.next_at <= statement_timestamp() and (o.leased_until is null or o.leased_until <= statement_timestamp())
     order by o.id limit 1 for no key update skip locked;
    continue when r.id is null;
    -- Of many, those that wait come by themselves.
    select d.position into of_position from delivery d
     where d.endpoint = p.id and d.position > r.position and d.position <= r.upto_position
       and (d.outcome is not null or r.upto_position = r.after_position + 1) order by d.position limit 1;
    if of_position is null then
      update redelivery set done_at = clock_timestamp() where id = r.id;
      continue;
    end if;
    update redelivery set token = by_token, leased_until = clock_timestamp() + interval '30 s' where id = r.id;
    return query
      with said as (
        select d.subject, d.sequence, b.name, b.body::text as body
          from delivery d join event e on e.subject = d.subject and e.sequence = d.sequence join event_body b on b.id = e.id
         where d.endpoint = p.id and d.position = of_position),
      tried as (
        insert into delivery_attempt (subject, sequence, endpoint, redelivery, token, counts, body_hash)
        select s.subject, s.sequence, p.id, r.id, by_token, false, sha256(convert_to(s.body, 'UTF8')) from said s
        returning delivery_attempt.id)
      select t.id, p.id, p.owner, p.url, p.signature, p.secret, case when p.before_until > clock_timestamp() then p.secret_before end, s.name, s.body, true
        from tried t cross join said s;
    at_most := at_most - 1;
  end loop;
end $function$;

CREATE OR REPLACE FUNCTION engine.close_attempts(of_order text, attempt integer, why text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.conclude_attempt(of_order text, attempt integer, said jsonb, OUT stands jsonb, OUT expires_at timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  stands := end_attempt(of_order, attempt, said);
  -- The row is unknown if it was adopted before the answer came.
  if stands->>'kind' = 'placed' then perform deposit_step(of_order, 'AWAITING_PAYMENT'); end if;
  select d.expires_at into expires_at from deposit d where d.external_order_number = of_order;
end $function$;

CREATE OR REPLACE FUNCTION engine.count_attempt(of_callback bigint, by_key text, at_ms bigint, copies integer, other bytea DEFAULT NULL::bytea)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  -- One statement: every repeat of every callback comes by here.
  with counted as (
    update callback c set attempts = least(c.attempts::bigint + copies, 2147483647)::integer, last_at = clock_timestamp()
     where c.id = of_callback and copies between 1 and 1000 returning c.id, c.attempts, c.external_order_number),
  stamped as (
    insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
    select by_key, at_ms, c.external_order_number, other from counted c where other is not null on conflict do nothing)
  insert into callback_attempt (callback, n, key_id, timestamp_ms)
  select c.id, s.n, by_key, at_ms from counted c cross join generate_series(c.attempts - copies + 1, least(c.attempts, 50)) s(n)
   where by_key is not null and other is null on conflict do nothing;
end $function$;

CREATE OR REPLACE FUNCTION engine.count_event()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin new.events := old.events + 1; return new; end $function$;

CREATE OR REPLACE FUNCTION engine.credit(items jsonb)
 RETURNS TABLE(ord bigint, outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
#variable_conflict use_column
begin
  perform demand_now();
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
    select c.id, c.receipt, c.acked, c.outcome, c.data, c.received_at, c.vouched_by from callback c
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
       and ((c.vouched_by = any(array(select m.key from seal_mac m)) or not exists (select from seal_demand))
            or exists (select from ledger.transaction t where t.key = ('deposit:' || h.external_order_number || ':credit') collate "C"))
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
    update callback c set outcome = 'posting:' || s.id from stands s where c.id = s.inbox_id and num_nulls(c.outcome) = 1)
  select i.ord,
         case when a.outcome is not null then a.outcome
              when h.external_order_number is null and exists (select from deposit e where e.external_order_number = i.deposit)
                or h.bound_callback is not null and c.id is null
                or c.id = i.inbox_id and c.outcome is null and (c.vouched_by = any(array(select m.key from seal_mac m)) or not exists (select from seal_demand)) is not true then 'busy'
              else 'unproven' end,
         a.id, a.posted_at
    from item i left join answer a on a.ord = i.ord
    left join held h on h.external_order_number = i.deposit
    left join message c on c.id = h.bound_callback
   order by i.ord;
end $function$;

CREATE OR REPLACE FUNCTION engine.credited_meanwhile(stands bigint)
 RETURNS engine.refused
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select ('credited_meanwhile', coalesce('posting ' || stands || ' stands in the wallet of this deposit: two people may credit beside it, naming it',
                                         'the credit that the proposal names does not stand any more'))::engine.refused $function$;

CREATE OR REPLACE FUNCTION engine.decide(of_case text, proposal_id bigint, confirmation_id bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$ begin return carry_out(of_case, proposal_id, confirmation_id, 'move', null); end $function$;

CREATE OR REPLACE FUNCTION engine.decision_bring_in(it engine.case_now, p engine.decision)
 RETURNS engine.refused
 LANGUAGE plpgsql
AS $function$
declare stands bigint; stated stated_facts; put record;
begin
  if p.decision <> 'credit' or it.standing not in ('nothing', 'unreadable') then return null; end if;
  -- Before the code is used up: what the next transaction would refuse for certain.
  select t.id into stands from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = coalesce(p.to_deposit, it.deposit);
  if stands is distinct from p.beside then return credited_meanwhile(stands); end if;
  if it.amount is null then
    select * into stated from stated_facts f where f.decision = p.id;
    -- A stated code that another order's callback has is a slip, or a trick: that payment has an owner.
    if exists (select from callback c where c.transaction_code = stated.transaction_code and c.external_order_number <> it.external_order_number) then
      return ('code_stands', 'the stated transaction code came with another order')::refused; end if;
    it.transaction_code := stated.transaction_code;  it.amount := trim_scale(stated.amount);
    it.currency_code := stated.currency_code;  it.payment_price := trim_scale(stated.payment_price);
  end if;
  select a.outcome, a.id into put from ledger.park(jsonb_build_array(jsonb_build_object(
    'key', 'suspense:mtpay:' || it.transaction_code, 'deposit', it.deposit, 'provider', 'mtpay', 'provider_code', it.transaction_code,
    'amount', it.amount, 'fee', '0', 'fiat', it.currency_code, 'fiat_amount', it.payment_price,
    'unit_price', unit_price(it.payment_price::numeric, it.amount::numeric)::text, 'workflow_id', it.workflow_id))) a;
  -- A duplicate is another case's money with the same facts: this one has none of its own yet.
  if put.outcome <> 'posted' then return ('code_stands', 'the transaction code stands in the ledger')::refused; end if;
  update review_case v set parked = put.id where v.workflow_id = it.workflow_id;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION engine.decision_conclude(it engine.case_now, p engine.decision, actor text, posted bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
declare
  into_deposit text := case when p.decision = 'credit' then coalesce(p.to_deposit, it.deposit) when posted is not null then it.back_to end;
  -- The deposit's own workflow holds its own case, and hears of a decision there by itself.
  by_case text := case when it.workflow_id <> 'deposit:' || it.deposit then it.workflow_id end;
  settled jsonb;
begin
  if into_deposit = it.deposit and decision_enters(it.standing, p.decision) then
    -- A credit of the deposit's own payment ends it; an unbound one is bound first, if nothing is and the deposit is open.
    -- A final deposit keeps its state: what lies in its wallet is in its credits.
    if exists (select from deposit d where d.external_order_number = it.deposit and (d.bound_callback is null or it.bound)
                  and d.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID')) then
      update deposit d set state = 'CREDITED', posting_id = posted, closed_at = clock_timestamp(),
             bound_callback = coalesce(d.bound_callback, it.callback), settled_by = by_case,
             -- A time of ours is told in milliseconds and kept in microseconds.
             late = case when d.bound_callback is null then coalesce(date_trunc('milliseconds', it.received_at) > d.expires_at, false) else d.late end
       where d.external_order_number = it.deposit and d.posting_id is null;
    end if;
  elsif it.opened_by is null and (it.bound or it.reason = 'RESTORED') then
    -- The deposit's own payment was not credited to it; another of it may have been. What a restore left without a
    -- workflow is nobody else's to end, unless a payment came meanwhile. A deposit that is over keeps its state.
    update deposit d set state = case when it.newest_credit is null then 'REJECTED' else 'CREDITED' end,
           posting_id = coalesce(d.posting_id, it.newest_credit), closed_at = clock_timestamp(), settled_by = by_case
     where d.external_order_number = it.deposit and d.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID') and (it.bound or d.bound_callback is null);
    if found and it.newest_credit is not null then
      settled := jsonb_build_object('postingId', it.newest_credit::text, 'transactionCode', ledger.code(it.newest_credit));
    end if;
  end if;
  update review_case v set closed_at = clock_timestamp(), decision = p.decision, decided_by = actor, posting = posted, proposal = null
   where v.workflow_id = it.workflow_id;
  update callback c set outcome = 'review:' || it.workflow_id where c.id = it.callback and num_nulls(c.outcome) = 1;
  return settled;
end $function$;

CREATE OR REPLACE FUNCTION engine.decision_enters(standing text, decision text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select decision in ('credit', 'restore') or (decision = 'reject' and standing = 'withdrawn') $function$;

CREATE OR REPLACE FUNCTION engine.decision_fault(standing text, deposit text, decision text, reason text, keep boolean, to_deposit text, beside bigint, only_ordered boolean)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select case
    when engine.is_reason(reason) is not true then 'reason_required'
    when decision = 'credit' and standing = 'elsewhere' then 'code_stands'
    when (case when standing in ('nothing', 'parked', 'unreadable') then decision in ('credit', 'reject')
               when standing = 'credited' then decision in ('reject', 'reverse')
               when standing = 'withdrawn' then decision in ('credit', 'reject', 'reverse', 'restore')
               when standing = 'returned' then decision in ('reject', 'restore')
               when standing = 'elsewhere' then decision = 'reject' end) is not true
      or keep and not (decision = 'reverse' and standing = 'credited')
      or beside is not null and not engine.decision_enters(standing, decision)
      or to_deposit is not null and decision <> 'credit'
      or only_ordered and not (decision = 'credit' and to_deposit is null) then 'decision_not_allowed'
    when decision = 'credit' and to_deposit is null and (standing = 'withdrawn' or deposit is null) then 'deposit_required' end $function$;

CREATE OR REPLACE FUNCTION engine.decision_move(it engine.case_now, p engine.decision, actor text, OUT outcome text, OUT id bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
declare next_key text := 'after:' || it.tip; d record;
begin
  if p.decision = 'credit' then
    select e.external_order_number, e.wallet, e.mtc_amount into d from deposit e where e.external_order_number = coalesce(p.to_deposit, it.deposit);
    select a.outcome, a.id into outcome, id
      from ledger.release(next_key, it.tip, d.external_order_number, d.wallet, 0, it.workflow_id, actor, p.reason, p.beside,
                          case when p.only_ordered then it.amount::numeric - d.mtc_amount end) a;
  elsif p.decision = 'reverse' and it.standing = 'withdrawn' or p.decision = 'reject' and it.standing = 'parked' then
    select a.outcome, a.id into outcome, id from ledger.give_back(next_key, it.tip, it.workflow_id, actor, p.reason) a;
  elsif p.decision <> 'reject' or it.standing = 'withdrawn' then
    select a.outcome, a.id into outcome, id from ledger.reverse(next_key, it.tip, p.keep, it.workflow_id, actor, p.reason, p.beside) a;
  end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.decision_refused(it engine.case_now, p engine.decision, k engine.decision)
 RETURNS engine.refused
 LANGUAGE plpgsql
 STABLE
AS $function$
declare one stated_facts; other stated_facts; differ text; fault text;
begin
  -- A step that was refused does not count later, whoever tells it again.
  if p.id is null or exists (select from refused_step r where r.decision = p.id) then
    return ('not_written', 'the proposal is not written down')::refused; end if;
  if k.id is null or exists (select from refused_step r where r.decision = k.id) then
    return ('not_written', 'the confirmation is not written down')::refused; end if;
  if exists (select from decision w where w.workflow_id = it.workflow_id and w.step = 'withdraw' and w.proposal = p.id
                and not exists (select from refused_step r where r.decision = w.id)) then
    return ('withdrawn', 'the proposal was withdrawn')::refused; end if;
  if exists (select from seal_demand) and (p.by_proof and k.by_proof) is not true then
    return ('unproven', 'a step from before steps were proven: it has to be taken again')::refused; end if;
  if p.operator = k.operator and one_suffices(it.amount, it.review_limit, p.beside) is not true then
    return ('unproven', 'proposed and confirmed by one person')::refused; end if;

  -- What cannot be read is credited as two people state it, each for themselves; unless it is on the books already.
  if p.decision = 'credit' and it.amount is null then
    select * into one from stated_facts f where f.decision = p.id;
    select * into other from stated_facts f where f.decision = k.id;
    if one.decision is null and other.decision is null and it.standing <> 'unreadable' then null;
    elsif one.decision is null or other.decision is null then
      return ('facts_differ', 'each has to state the facts')::refused;
    else
      -- Which, and not what: the next try is to be made from the statement, not from the other's numbers.
      differ := concat_ws(', ', case when one.transaction_code <> other.transaction_code then 'transactionCode' end,
                                case when one.amount <> other.amount then 'amount' end,
                                case when one.currency_code <> other.currency_code then 'currencyCode' end,
                                case when one.payment_price <> other.payment_price then 'paymentPrice' end);
      if differ <> '' then return ('facts_differ', 'the two state another ' || differ)::refused; end if;
    end if;
  end if;

  if p.only_ordered and not exists (select from deposit d where d.external_order_number = it.deposit and it.amount::numeric > d.mtc_amount) then
    return ('not_possible', 'not more was received than was ordered in MTC')::refused; end if;
  fault := decision_fault(it.standing, it.deposit, p.decision, p.reason, p.keep, p.to_deposit, p.beside, p.only_ordered);
  if fault is not null then
    return (case when fault = 'code_stands' then fault else 'not_possible' end, fault)::refused; end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION engine.delete_endpoint(proof bytea, of_endpoint bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare p endpoint := own_endpoint(proof, of_endpoint);
begin
  update endpoint set state = 'deleted', secret = '', secret_before = null, before_until = null,
         failures = 0, failing_since = null, warned = 0, resume_at = null, probe = null where id = p.id;
  update redelivery set done_at = clock_timestamp() where endpoint = p.id and done_at is null;
end $function$;

CREATE OR REPLACE FUNCTION engine.deliveries_late()
 RETURNS interval
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  select max(statement_timestamp() - f.next_at) from endpoint p
   cross join lateral (select l.next_at from delivery_line l where l.endpoint = p.id and l.next_at <= statement_timestamp() order by l.next_at limit 1) f
   where p.state = 'on' and p.failures = 0 and (p.resume_at is null or p.resume_at < statement_timestamp()) $function$;

CREATE OR REPLACE FUNCTION engine.delivery_gap(n integer)
 RETURNS interval
 LANGUAGE sql
AS $function$
  select (array['5 s', '5 min', '30 min', '2 h', '5 h', '10 h', '14 h', '20 h', '24 h']::interval[])[n] * (0.9 + random() * 0.2) $function$;

CREATE OR REPLACE FUNCTION engine.demand_now()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'money, messages and steps need a read committed transaction' using errcode = '25000'; end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.deposit_closed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$ begin perform await_archive('deposit:' || new.external_order_number, new.closed_at); return null; end $function$;

CREATE OR REPLACE FUNCTION engine.deposit_step(of_order text, to_state text, why text DEFAULT NULL::text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.doubtful(of_order text, of_posting bigint, of_case text)
 RETURNS TABLE(posting bigint, callback bigint, uid uuid, wallet text, cases bigint)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  return query
  with named as (
    select ledger.root(coalesce(
             (select t.id from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = of_order),
             (select d.posting_id from deposit d where d.external_order_number = of_order),
             (select t.id from ledger.transaction t where t.id = of_posting))) as root),
  chain as (
    select (ledger.tip(n.root)).id as tip, coalesce(o.callback, d.bound_callback) as callback
      from named n join ledger.transaction r on r.id = n.root
      -- The books compare texts by their bytes, and these indexes do not.
      left join review_case o on o.workflow_id = r.workflow_id collate "default"
      left join deposit d on r.workflow_id like 'deposit:%' and d.external_order_number = substr(r.workflow_id, 9) collate "default"
    union all
    select (ledger.tip(k.id)).id, v.callback
      from review_case v join callback c on c.id = v.callback
      left join ledger.transaction k on k.id = coalesce(
        (select p.id from ledger.transaction p where p.provider = 'mtpay' and p.provider_code = c.transaction_code),
        (select ledger.root(o.parked) from review_case o where o.callback = c.id and o.parked is not null order by o.opened_at limit 1))
     where v.workflow_id = of_case and v.closed_at is not null)
  select m.tip, c.id, c.uid,
         (select d.wallet from deposit d where d.external_order_number = c.external_order_number),
         (select count(*) from review_case v where v.callback = c.id and v.workflow_id like '%:reversal:%')
    from chain m join callback c on c.id = m.callback limit 1;
end $function$;

CREATE OR REPLACE FUNCTION engine.end_attempt(of_order text, attempt integer, said jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.event_data(of_order text, of_sequence integer, wallet text, state text, late boolean, currency text, mode text, mtc numeric, price numeric)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select jsonb_build_object('externalOrderNumber', of_order, 'sequence', of_sequence, 'wallet', wallet, 'state', state,
    'final', state in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'), 'late', late, 'currencyCode', currency, 'buyCoinMode', mode,
    'asked', case mode when 'MtcAmount' then jsonb_build_object('mtcAmount', trim_scale(mtc)::text)
                       when 'PaymentPrice' then jsonb_build_object('totalPrice', trim_scale(price)::text) end) $function$;

CREATE OR REPLACE FUNCTION engine.event_money(t ledger.transaction)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select jsonb_build_object('postingId', t.id::text, 'amount', trim_scale(abs(t.amount - t.fee - coalesce(t.rest, 0)))::text,
                            'transactionCode', coalesce(t.provider_code, ledger.code(t.id)))
    || case when t.amount > 0 then jsonb_build_object('paidPrice', trim_scale(t.fiat_amount)::text, 'creditedAt', as_time(t.posted_at))
            else jsonb_build_object('kept', t.debit_code like 'suspense:%', 'of', t.origin::text) end $function$;

CREATE OR REPLACE FUNCTION engine.forbid()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'engine.% is append-only', tg_table_name using errcode = 'P0E01'; end $function$;

CREATE OR REPLACE FUNCTION engine.forget_answers(older_than interval, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare forgotten integer; gone integer;
begin
  update delivery_attempt set answer = null
   where id = any (array(select t.id from delivery_attempt t where t.answer is not null and t.at < clock_timestamp() - greatest(older_than, interval '7 days')
                          order by t.at limit at_most for update skip locked));
  get diagnostics forgotten = row_count;
  delete from delivery_line where ctid = any (array(select l.ctid from endpoint p join delivery_line l on l.endpoint = p.id where p.state = 'deleted' limit at_most for update of l skip locked));
  get diagnostics gone = row_count;
  return greatest(forgotten, gone);
end $function$;

CREATE OR REPLACE FUNCTION engine.give_to_people(of_inbox bigint, why text, what text, is_late boolean, to_park boolean)
 RETURNS TABLE(given boolean, posting bigint, code_stands boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
  update callback c set outcome = 'review:' || of_case where c.id = of_inbox and num_nulls(c.outcome) = 1;
  given := true;
  if to_park then select p.posting, p.code_stands into posting, code_stands from park_money(of_case) p; end if;
  return next;
end $function$;

CREATE OR REPLACE FUNCTION engine.hand_over(of_case text, was_held_by text)
 RETURNS text
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  update review_case v
     set held_by = v.workflow_id || ':again:' || coalesce(substring(v.held_by from ':again:([0-9]+)$')::integer, 0) + 1
   where v.workflow_id = of_case and v.held_by is not distinct from was_held_by and num_nulls(v.closed_at) = 1
  returning v.held_by $function$;

CREATE OR REPLACE FUNCTION engine.is_for_machine(settings jsonb, mode text, asked_mtc numeric, asked_price numeric, currency text, amount numeric, price numeric)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select case mode
           when 'PaymentPrice' then price = asked_price
           else amount <= asked_mtc and amount >= asked_mtc - trunc(asked_mtc * coalesce(settings->'feeBands'->>currency, settings->>'feeBand')::numeric, 8)
         end
     and price >= (settings->'rateBands'->currency->>'from')::numeric * amount
     and price <= (settings->'rateBands'->currency->>'to')::numeric * amount
     and amount <= coalesce((settings->>'creditCap')::numeric, 'infinity') $function$;

CREATE OR REPLACE FUNCTION engine.is_message(by_key text, at_ms bigint, by_seal bytea, by_seal_key text, at_sealed_ms bigint, copies integer)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  if num_nulls(by_key, at_ms, by_seal, by_seal_key, at_sealed_ms) > 0 or (copies between 1 and 1000) is not true then
    raise exception 'a message has a stamp and a seal' using errcode = 'P0E60';
  end if;
  return true;
end $function$;

CREATE OR REPLACE FUNCTION engine.is_reason(reason text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select length(w.trimmed) + length(regexp_replace(w.trimmed, '[^\U00010000-\U0010ffff]', '', 'g')) >= 3
     and length(reason) + length(regexp_replace(reason, '[^\U00010000-\U0010ffff]', '', 'g')) <= 1000
     and reason !~ '[\u0001-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]'
    from (select btrim(reason, E'\t\n\u000b\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff')) w(trimmed) $function$;

CREATE OR REPLACE FUNCTION engine.is_vouched(by_registered text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
  select exists (select from seal_mac m where m.key = by_registered) or not exists (select from seal_demand) $function$;

CREATE OR REPLACE FUNCTION engine.issue_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint)
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
  insert into api_key (name, proof_hash, scopes, wallets, expires_at)
  values (of_name, sha256(proof), may, only_wallets, clock_timestamp() + lives_ms * interval '1 millisecond') returning id $function$;

CREATE OR REPLACE FUNCTION engine.keep_a_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  if not exists (select from seal_mac) then
    raise exception 'the last key of the seals stays: register another one first' using errcode = 'P0E01'; end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION engine.keep_api_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if (new.id, new.name, new.proof_hash, new.scopes, new.wallets) is distinct from (old.id, old.name, old.proof_hash, old.scopes, old.wallets)
     or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) then
    raise exception 'an API key is revoked and made anew, never changed' using errcode = 'P0E14';
  end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.keep_attempts(of_callback bigint, from_n integer, to_n integer, by_key text, at_ms bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  insert into callback_attempt (callback, n, key_id, timestamp_ms)
  select of_callback, s.n, by_key, at_ms from generate_series(from_n, least(to_n, 50)) s(n) where by_key is not null
  on conflict do nothing;
end $function$;

CREATE OR REPLACE FUNCTION engine.keep_binding()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'deposit % is bound to another callback', old.external_order_number using errcode = 'P0E02'; end $function$;

CREATE OR REPLACE FUNCTION engine.keep_count()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin raise exception 'deposit %: its events are counted one by one', new.external_order_number using errcode = 'P0E51'; end $function$;

CREATE OR REPLACE FUNCTION engine.keep_facts()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'engine.%: what was asked and what was received cannot be changed', tg_table_name using errcode = 'P0E02'; end $function$;

CREATE OR REPLACE FUNCTION engine.keep_own_stamps()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$ begin
  if (select max(g.timestamp_ms) from gone g) >= coalesce(own_stale_before(), 0) then
    raise exception 'engine.%: a row is still needed', tg_table_name using errcode = 'P0E01'; end if;
  return null; end $function$;

CREATE OR REPLACE FUNCTION engine.keep_stamps()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$ begin
  if exists (select from gone g where not stamp_may_go(g.key_id, g.timestamp_ms, g.external_order_number, g.content_hash)) then
    raise exception 'engine.%: a row is still needed', tg_table_name using errcode = 'P0E01'; end if;
  return null; end $function$;

CREATE OR REPLACE FUNCTION engine.key_log_line(k engine.key_log)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select concat_ws('|', k.n, k.event, (extract(epoch from k.at) * 1000000)::bigint, k.key_id, k.name, array_to_string(k.scopes, ','),
    coalesce('w:' || array_to_string(k.wallets, ','), ''), (extract(epoch from k.created_at) * 1000000)::bigint,
    coalesce((extract(epoch from k.expires_at) * 1000000)::bigint::text, ''), encode(k.fingerprint, 'hex')) $function$;

CREATE OR REPLACE FUNCTION engine.last_place()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  perform see_latest();
  perform from turn t where t.what = 'event' for update;
  return (select coalesce(max(e.position), 0) from event e where e.position is not null);
end $function$;

CREATE OR REPLACE FUNCTION engine.lock_told()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  perform from deposit d where d.external_order_number = (select c.external_order_number from callback c where c.id = new.callback) for no key update;
  if not found then perform from callback c where c.id = new.callback for no key update; end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.log_key(of_key bigint, as_event text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare head key_log; fresh key_log;
begin
  perform from turn t where t.what = 'api_key' for update;
  select * into head from key_log order by n desc limit 1;
  select k.id, k.name, k.scopes, k.wallets, k.created_at, k.expires_at, sha256(k.proof_hash)
    into strict fresh.key_id, fresh.name, fresh.scopes, fresh.wallets, fresh.created_at, fresh.expires_at, fresh.fingerprint
    from api_key k where k.id = of_key;
  fresh.n := coalesce(head.n, 0) + 1;
  fresh.prev := coalesce(head.hash, sha256('engine.key_log'));
  fresh.event := as_event;
  fresh.at := clock_timestamp();
  fresh.hash := sha256(fresh.prev || convert_to(key_log_line(fresh), 'UTF8'));
  insert into key_log select fresh.*;
end $function$;

CREATE OR REPLACE FUNCTION engine.make_endpoint(proof bytea, at_url text, only_types text[], with_signature text, sealed bytea, public_half text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare c record; made bigint;
begin
  select k.name, k.wallets into c from caller(proof) k where k.scopes @> '{endpoints:manage}';
  if c.name is null then raise exception 'this key makes no endpoints' using errcode = 'P0E70'; end if;
  perform see_latest();
  -- One at a time, so that they are counted.
  perform from turn t where t.what = 'endpoint' for update;
  if (select count(*) from endpoint p where p.owner = c.name and p.state <> 'deleted') >= 20 then
    raise exception '% has 20 endpoints', c.name using errcode = 'P0E71';
  end if;
  insert into endpoint (owner, wallets, url, types, signature, secret, public_key, from_position)
  values (c.name, c.wallets, at_url, only_types, with_signature, sealed, public_half, last_place())
  returning id into made;
  return made;
end $function$;

CREATE OR REPLACE FUNCTION engine.make_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare made bigint := issue_key(proof, of_name, may, only_wallets, lives_ms);
begin
  perform log_key(made, 'made');
  return made;
end $function$;

CREATE OR REPLACE FUNCTION engine.moves_elsewhere(of_case text, decided text, of_proposal bigint, wallets text[])
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'engine', 'pg_temp'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.name_wallet(of_case text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  update review_case v set wallet = d.wallet
    from callback c join deposit d on d.external_order_number = c.external_order_number
   where v.workflow_id = of_case and num_nulls(v.wallet) = 1 and c.id = v.callback;
  return found;
end $function$;

CREATE OR REPLACE FUNCTION engine.next_attempt(of_order text)
 RETURNS integer
 LANGUAGE sql
 STABLE
AS $function$
  select case when a.n is null then 1 when a.outcome = 'not_sent' then a.n + 1 end
    from (values (1)) one left join lateral (
      select p.n, p.outcome from placement_attempt p where p.external_order_number = of_order order by p.n desc limit 1) a on true $function$;

CREATE OR REPLACE FUNCTION engine.note_health(of_endpoint bigint, sent_at timestamp with time zone, is_received boolean, answered integer, wait interval)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare p endpoint; is_old boolean; n integer; for_hours numeric; threshold smallint;
begin
  if is_received then
    -- The one that used up its tries may wait for hours.
    update delivery_line l set next_at = clock_timestamp()
     where l.ctid = (select w.ctid from endpoint x join delivery_line w on w.endpoint = x.id and w.subject = x.probe
                      where x.id = of_endpoint and w.next_at > clock_timestamp() for update of w skip locked);
    update endpoint set failures = 0, failing_since = null, warned = 0, resume_at = case when sent_at < resume_at then resume_at end, probe = null
     where id = of_endpoint and failures > 0;
    return null;
  end if;
  select x.* into p from endpoint x where x.id = of_endpoint and x.state = 'on' for no key update;
  if p.id is null then return null; end if;
  is_old := coalesce(sent_at < p.resume_at, false);
  n := p.failures + case when p.failures >= 3 and is_old then 0 else 1 end;
  update endpoint x set failures = n, failing_since = coalesce(x.failing_since, clock_timestamp()),
         resume_at = greatest(x.resume_at, case
           when answered in (429, 502, 503, 504) or wait is not null and n >= 3 then clock_timestamp() + coalesce(wait, interval '5 s') end,
           case when n >= 3 then clock_timestamp() + probe_gap(n) end)
   where x.id = p.id returning x.* into p;
  for_hours := extract(epoch from clock_timestamp() - p.failing_since) / 3600;
  if answered = 410 and not is_old or for_hours >= 120 then
    update endpoint set state = 'disabled' where id = p.id;
    perform tell_endpoint(p, 'endpoint.disabled', jsonb_build_object('reason', case when answered = 410 then 'gone' else 'failing' end));
    return 'endpoint_disabled';
  end if;
  threshold := case when for_hours >= 108 then 108 when for_hours >= 84 then 84 when for_hours >= 60 then 60 else 0 end;
  if threshold > p.warned then
    update endpoint set warned = threshold where id = p.id;
    perform tell_endpoint(p, 'endpoint.failing', jsonb_build_object('hours', threshold));
    return 'endpoint_failing';
  end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION engine.note_proof()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin new.by_proof := current_user = 'engine_owner'; return new; end $function$;

CREATE OR REPLACE FUNCTION engine.note_skew(ms bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  if abs(ms) > 600000 then raise exception 'a clock that far off is not believed' using errcode = 'P0E53'; end if;
  insert into provider_clock (skew_ms) values (ms) on conflict (id) do update set skew_ms = excluded.skew_ms, at = clock_timestamp();
end $function$;

CREATE OR REPLACE FUNCTION engine.one_suffices(amount text, review_limit text, beside bigint)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select beside is null and amount::numeric > 0 and amount::numeric <= review_limit::numeric $function$;

CREATE OR REPLACE FUNCTION engine.open_case(of_callback bigint)
 RETURNS TABLE(id text, reason text, detail text)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  insert into review_case (workflow_id, callback, reason, detail)
  select case_of(c.id, c.uid), c.id, coalesce(c.review_reason, 'WORKFLOW_GONE'),
         case when c.receipt = 'restored' then convert_from(c.raw, 'UTF8') else '' end
    from callback c where c.id = of_callback and c.acked and num_nulls(c.outcome) = 1
  on conflict do nothing;
  select v.workflow_id, v.reason, v.detail from callback c join review_case v on v.workflow_id = case_of(c.id, c.uid) and v.callback = c.id
   where c.id = of_callback $function$;

CREATE OR REPLACE FUNCTION engine.open_doubt(proof bytea, of_order text, of_posting bigint, of_case text, detail text)
 RETURNS TABLE(callback bigint, opened boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare person record; found record; after record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a doubt is opened in a read committed transaction' using errcode = '25000'; end if;
  select o.name, o.wallets into person from operator_by(proof) o;
  select m.* into found from doubtful(of_order, of_posting, of_case) m;
  if found.callback is null or not coalesce(found.wallet, '') = any (person.wallets) then
    raise exception 'there is nothing of that name for this key' using errcode = 'P0E36';
  end if;
  insert into review_case as v (workflow_id, callback, reason, detail, opened_by, doubted)
  values ('review:' || found.callback || coalesce('-' || left(found.uid::text, 8), '') || ':reversal:' || found.cases + 1,
          found.callback, case when of_case is null then 'CREDIT_IN_DOUBT' else 'DECISION_IN_DOUBT' end, open_doubt.detail,
          person.name, found.posting)
  on conflict do nothing returning true into opened;
  select m.* into after from doubtful(of_order, of_posting, of_case) m;
  if after.posting is distinct from found.posting then
    raise exception 'the money was moved just now' using errcode = 'P0E37';
  end if;
  callback := found.callback;
  opened := coalesce(opened, false);
  return next;
end $function$;

CREATE OR REPLACE FUNCTION engine.operator_by(proof bytea, OUT key_id bigint, OUT name text, OUT wallets text[])
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  perform demand_now();
  select k.id, k.name, k.wallets into key_id, name, wallets from api_key k
   where k.proof_hash = sha256(proof) and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp())
     and k.scopes @> '{reviews:decide}';
  if key_id is null then raise exception 'no living key that may decide' using errcode = 'P0E35'; end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.owe_events(after_position bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  perform see_latest();
  if not exists (select from endpoint where state <> 'deleted') then return; end if;
  insert into delivery (subject, sequence, endpoint, position)
  select e.subject, e.sequence, p.id, e.position
    from event e join endpoint p on p.state <> 'deleted' and p.from_position < e.position and (p.types is null or e.type = any (p.types))
                                and (p.wallets is null or e.wallet = any (p.wallets)) and e.subject <> 'endpoint:' || p.id
                                and (e.subject not like 'endpoint:%' or exists (select from endpoint s where e.subject = 'endpoint:' || s.id and s.owner = p.owner))
   where e.position > after_position;
  insert into delivery_line (endpoint, subject, next_at)
  select d.endpoint, d.subject, statement_timestamp() from delivery d join event e on e.subject = d.subject and e.sequence = d.sequence
   where e.position > after_position group by d.endpoint, d.subject order by d.endpoint, d.subject
  on conflict (endpoint, subject) do update set next_at = delivery_line.next_at;
end $function$;

CREATE OR REPLACE FUNCTION engine.own_endpoint(proof bytea, of_endpoint bigint)
 RETURNS engine.endpoint
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare found_it endpoint;
begin
  select p.* into found_it from caller(proof) c
    join endpoint p on p.owner = c.name and (c.wallets is null or p.wallets <@ c.wallets)
   where c.scopes @> '{endpoints:manage}' and p.id = of_endpoint and p.state <> 'deleted' for no key update of p;
  if found_it.id is null then raise exception 'this key has no endpoint %', of_endpoint using errcode = 'P0E70'; end if;
  return found_it;
end $function$;

CREATE OR REPLACE FUNCTION engine.own_stale_before()
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'engine', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
  select case when count(*) = count(d.ms) then stale_before(coalesce(max(d.ms), 0)) end
    from (select (settings->>'listeningWindowMs')::bigint as ms from deposit
           where state in ('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED', 'CREDITING', 'IN_REVIEW')) d $function$;

CREATE OR REPLACE FUNCTION engine.park(of_case text)
 RETURNS TABLE(posting bigint, code_stands boolean)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  select p.posting, p.code_stands from park_money(of_case) p $function$;

CREATE OR REPLACE FUNCTION engine.park_money(of_case text)
 RETURNS TABLE(posting bigint, code_stands boolean)
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
#variable_conflict use_variable
declare m record; answer record;
begin
  perform demand_now();  posting := null;  code_stands := false;
  select v.parked, c.deposit, is_vouched(c.vouched_by) and (c.seal is not null or not exists (select from seal_demand)) as is_vouched, c.transaction_code as code, c.data->>'currencyCode' as fiat,
         (c.data->>'transactionAmount')::numeric as amount, (c.data->>'paymentPrice')::numeric as price into m
    from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case and num_nulls(v.closed_at) = 1 for no key update of v;
  if m.parked is not null then posting := m.parked;
  elsif m.code is not null and m.is_vouched then
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
end $function$;

CREATE OR REPLACE FUNCTION engine.payer_name_for_placement(of_order text, OUT payer_name bytea, OUT payer_name_key text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare d record;
begin
  select o.payer_name, o.payer_name_key, o.state into d from deposit o where o.external_order_number = of_order;
  if d.state = 'PLACING' then
    payer_name := d.payer_name;  payer_name_key := d.payer_name_key;
  end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.position_since(since timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'engine', 'pg_temp'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.probe_gap(n integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select (array['5 s', '30 s', '2 min', '10 min', '30 min']::interval[])[greatest(1, least(n - 2, 5))] $function$;

CREATE OR REPLACE FUNCTION engine.prune(older_than interval, at_most integer)
 RETURNS TABLE(what text, pruned integer)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
  n integer := least(at_most, 10000);
  old_ms bigint := (extract(epoch from clock_timestamp() - older_than) * 1000)::bigint;
  own_ms bigint := own_stale_before();
  key text;
begin
  old_ms := least(old_ms, stale_before(0));
  what := 'callback_stamp';  pruned := 0;
  select min(s.key_id) into key from callback_stamp s;
  while key is not null loop
    with old as (
      select s.ctid as at from callback_stamp s
       where s.key_id = key and s.timestamp_ms < old_ms
         and stamp_may_go(s.key_id, s.timestamp_ms, s.external_order_number, s.content_hash)
       order by s.timestamp_ms limit n - pruned for update skip locked),
    gone as (delete from callback_stamp s using old where s.ctid = old.at returning 1)
    select pruned + count(*) into pruned from gone;
    select min(s.key_id) into key from callback_stamp s where s.key_id > key;
  end loop;
  return next;

  what := 'own_stamp';  pruned := 0;
  if own_ms is not null then
    own_ms := least(own_ms, old_ms);
    select min(s.key_id) into key from own_stamp s;
    while key is not null loop
      with old as (
        select s.ctid as at from own_stamp s where s.key_id = key and s.timestamp_ms < own_ms
         order by s.timestamp_ms limit n - pruned for update skip locked),
      gone as (delete from own_stamp s using old where s.ctid = old.at returning 1)
      select pruned + count(*) into pruned from gone;
      select min(s.key_id) into key from own_stamp s where s.key_id > key;
    end loop;
  end if;
  return next;
end $function$;

CREATE OR REPLACE FUNCTION engine.publish_events(at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
  if published > 0 then
    perform owe_events((select max(e.position) from event e where e.position is not null) - published);
    perform pg_notify('event_published', '');
  end if;
  return published;
end $function$;

CREATE OR REPLACE FUNCTION engine.raised(of_callback bigint, in_case boolean)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  update callback c
     set raised_at = clock_timestamp(),
         outcome = coalesce(c.outcome, (select 'review:' || v.workflow_id from review_case v
                                         where in_case and v.workflow_id = case_of(c.id, c.uid) and v.callback = c.id))
   where c.id = of_callback and c.acked;
end $function$;

CREATE OR REPLACE FUNCTION engine.receive(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint, copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint)
 RETURNS SETOF engine.callback
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  select * from receive(of_order, content, says, bytes, as_receipt, reason, by_key, at_ms, copies, by_seal, by_seal_key, at_sealed_ms, null) $function$;

CREATE OR REPLACE FUNCTION engine.receive(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint, copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea)
 RETURNS SETOF engine.callback
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare by_registered text;
begin
  by_registered := verify_mac(of_order, content, says, bytes, as_receipt, by_key, at_ms, by_seal_key, at_sealed_ms, by_mac);
  return query select * from write_message(of_order, content, says, bytes, as_receipt, reason, by_key, at_ms, copies, by_seal, by_seal_key, at_sealed_ms, by_registered);
end $function$;

CREATE OR REPLACE FUNCTION engine.receive_firsts(items jsonb)
 RETURNS TABLE(ord bigint, did text, c engine.callback)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
 SET lock_timeout TO '500ms'
AS $function$
#variable_conflict use_column
declare
  r record;
  repeats bigint[] := '{}';
  free text[];
begin
  for r in
    select x.n, x.by_key, x.at_ms, x.copies, k.id
      from rows from (jsonb_to_recordset(items) as (of_order text, content bytea, by_key text, at_ms bigint, copies integer))
           with ordinality x(of_order, content, by_key, at_ms, copies, n)
     cross join lateral (select k.id from callback k where k.external_order_number = x.of_order and k.content_hash = x.content and k.acked limit 1) k
  loop
    repeats := repeats || r.n;
    return query select r.n, 'repeat', k from callback k where k.id = r.id for no key update skip locked;
    if found then perform count_attempt(r.id, r.by_key, r.at_ms, r.copies); end if;
  end loop;

  free := array(select d.external_order_number from deposit d
                 where d.external_order_number = any(array(select x.i->>'of_order' from jsonb_array_elements(items) with ordinality x(i, n)
                                                            where x.n <> all(repeats)))
                   for no key update skip locked);
  -- From here on: what the former holders of the locks wrote can be seen.
  return query
    with item as materialized (
      select distinct on (x.of_order) x.*
        from rows from (jsonb_to_recordset(items) as (of_order text, content bytea, says jsonb, bytes bytea, by_key text, at_ms bigint, copies integer,
                 age_ms double precision, sent_by_ms double precision, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea))
               with ordinality x(of_order, content, says, bytes, by_key, at_ms, copies, age_ms, sent_by_ms, by_seal, by_seal_key, at_sealed_ms, by_mac, n)
       cross join lateral (
         select d.settings from deposit d
          where d.external_order_number = x.of_order and d.bound_callback is null
            and d.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID') limit 1) d
       where x.of_order = any(free) and x.says is not null and x.age_ms <= (d.settings->>'listeningWindowMs')::bigint
         and (select count(*) from callback k where k.external_order_number = x.of_order and k.content_hash = x.content) = 0
         and (select count(*) from own_stamp s where s.key_id = x.by_key and s.timestamp_ms = x.at_ms) = 0
         -- As arriving() has it: the content that came with this stamp first.
         and coalesce((
           select f.content_hash from (
             (select s.content_hash from callback_stamp s
               where s.key_id = x.by_key and s.timestamp_ms = x.at_ms and s.external_order_number = x.of_order)
             union all
             (select k.content_hash from callback k join callback_attempt a on a.callback = k.id
               where k.external_order_number = x.of_order and a.key_id = x.by_key and a.timestamp_ms = x.at_ms order by a.at, k.id limit 1)) f limit 1)
           = x.content, true)
         and (select (extract(epoch from min(a.started_at)) * 1000)::bigint from placement_attempt a
               where a.external_order_number = x.of_order and a.answer->>'cause' is distinct from 'ADOPTED') <= x.sent_by_ms
       order by x.of_order, x.n),
    written as (
      insert into callback as k (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, attempts,
                                 seal, seal_key, sealed_ms, vouched_by)
      select i.of_order, i.of_order, i.says->>'transactionCode', i.content, i.says, i.bytes, 'first', true, i.copies, i.by_seal, i.by_seal_key, i.at_sealed_ms,
             verify_mac(i.of_order, i.content, i.says, i.bytes, 'first', i.by_key, i.at_ms, i.by_seal_key, i.at_sealed_ms, i.by_mac)
        from item i where is_message(i.by_key, i.at_ms, i.by_seal, i.by_seal_key, i.at_sealed_ms, i.copies)
      returning k as kept, k.id, k.external_order_number as of_order),
    attempted as (
      insert into callback_attempt (callback, n, key_id, timestamp_ms)
      select w.id, s.n, i.by_key, i.at_ms from written w join item i using (of_order) cross join generate_series(1, least(i.copies, 50)) s(n)),
    stamped as (
      insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
      select i.by_key, i.at_ms, i.of_order, i.content from item i on conflict do nothing),
    bound as (update deposit d set bound_callback = w.id from written w where d.external_order_number = w.of_order)
    select i.n, 'first', w.kept from written w join item i using (of_order);
end $function$;

CREATE OR REPLACE FUNCTION engine.receive_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint)
 RETURNS SETOF engine.callback
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  select * from receive_restored(of_order, said, why, by_seal, by_seal_key, at_sealed_ms, null) $function$;

CREATE OR REPLACE FUNCTION engine.receive_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_mac bytea)
 RETURNS SETOF engine.callback
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare by_registered text;
begin
  by_registered := verify_mac(of_order, sha256(convert_to('restored|' || said, 'UTF8')), null, convert_to(said, 'UTF8'), 'restored', null, null,
                     by_seal_key, at_sealed_ms, by_mac);
  return query select * from write_restored(of_order, said, why, by_seal, by_seal_key, at_sealed_ms, by_registered);
end $function$;

CREATE OR REPLACE FUNCTION engine.record_refused(of_case text, proposal_id bigint, confirmation_id bigint, why text, refusal text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$ begin return carry_out(of_case, proposal_id, confirmation_id, case refusal when 'unproven' then 'refuse as unproven' else 'refuse' end,
                          coalesce(left(why, 200), 'refused')); end $function$;

CREATE OR REPLACE FUNCTION engine.redeliver(proof bytea, of_endpoint bigint, after_it bigint, upto bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare p endpoint := own_endpoint(proof, of_endpoint); who text; made bigint;
begin
  if (select count(*) from redelivery r where r.endpoint = p.id and r.done_at is null) >= 10 then
    raise exception 'endpoint % has 10 redeliveries under way', p.id using errcode = 'P0E71';
  end if;
  select c.name into who from caller(proof) c;
  insert into redelivery (endpoint, after_position, upto_position, position, asked_by) values (p.id, after_it, upto, after_it, who) returning id into made;
  perform pg_notify('event_published', '');
  return made;
end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'engine.%: what is written once stays', tg_table_name using errcode = 'P0E51'; end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_numbers()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  if (new.settings->>'paymentWindowMs' ~ '^[0-9]{1,13}$' and new.settings->>'listeningWindowMs' ~ '^[0-9]{1,13}$') is not true
     or new.mtc_amount >= 1e20 or new.total_price >= 1e20 or exists (
       select from (select unnest(array[new.settings->>'feeBand', new.settings->>'reviewLimit', new.settings->>'creditCap']) as said
                    union all select f.value from jsonb_each_text(new.settings->'feeBands') f
                    union all select b.value from jsonb_each(new.settings->'rateBands') c cross join jsonb_each_text(c.value) b) s
        where s.said !~ '^[0-9]{1,20}([.][0-9]{1,20})?$') then
    raise exception 'deposit %: an amount or a setting is no finite decimal', new.external_order_number using errcode = 'P0E56';
  end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_row()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'engine.%: a new row has no past', tg_table_name using errcode = 'P0E52'; end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_size()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin raise exception 'engine.%: a value that is larger than any honest one', tg_table_name using errcode = 'P0E57'; end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_state()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'deposit %: no change from % to %', old.external_order_number, old.state, new.state using errcode = 'P0E50'; end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_step(proof bytea, of_step bigint, refusal text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare taken record;
begin
  select w.workflow_id, w.step, w.proposal into taken from decision w join api_key k on k.id = w.key_id
   where w.id = of_step and k.proof_hash = sha256(proof);
  if taken.workflow_id is null then raise exception 'no step of this key' using errcode = 'P0E36'; end if;
  perform from review_case v where v.workflow_id = taken.workflow_id for no key update;
  if taken.step = 'withdraw' and exists (select from carried a where a.proposal = taken.proposal and a.answer->>'refusal' = 'withdrawn') then
    return true;
  end if;
  insert into refused_step (decision, refusal) values (of_step, refuse_step.refusal) on conflict do nothing;
  return false;
end $function$;

CREATE OR REPLACE FUNCTION engine.refuse_time()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  raise exception 'deposit %: a time that no calendar has', new.external_order_number using errcode = '23514', constraint = 'times', table = 'deposit';
end $function$;

CREATE OR REPLACE FUNCTION engine.regain_case(of_order text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare d record; of_case text := 'deposit:' || of_order;
begin
  select x.bound_callback, coalesce(x.review_reason, 'WORKFLOW_GONE') as why into d
    from deposit x where x.external_order_number = of_order and x.state = 'IN_REVIEW' for no key update;
  insert into review_case (workflow_id, callback, reason, detail)
  select of_case, d.bound_callback, d.why, ''
   where d.bound_callback is not null and not exists (select from review_case v where v.callback = d.bound_callback and v.doubted is null)
  on conflict do nothing;
  return case when found then of_case end;
end $function$;

CREATE OR REPLACE FUNCTION engine.reroute(of_callback bigint, as_receipt text, reason text, by_key text, at_ms bigint, copies integer)
 RETURNS SETOF engine.callback
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare c callback; is_known boolean;
begin
  select * into c from callback x where x.id = of_callback;
  is_known := admit_receipt(c.external_order_number, as_receipt, c.data is not null);
  update callback x set attempts = least(x.attempts::bigint + copies, 2147483647)::integer, last_at = case when copies > 0 then clock_timestamp() else x.last_at end
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
end $function$;

CREATE OR REPLACE FUNCTION engine.revoke_keys(ids text[])
 RETURNS SETOF text
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare key_id bigint;
begin
  for key_id in update api_key k set revoked_at = clock_timestamp() where 'K' || k.id = any (ids) and k.revoked_at is null returning k.id loop
    perform log_key(key_id, 'revoked');
    return next 'K' || key_id;
  end loop;
end $function$;

CREATE OR REPLACE FUNCTION engine.rotate_endpoint(proof bytea, of_endpoint bigint, sealed bytea, public_half text, overlap_ms bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare p endpoint := own_endpoint(proof, of_endpoint);
begin
  update endpoint set secret = sealed, public_key = public_half,
         secret_before = case when overlap_ms > 0 then p.secret end,
         before_until = case when overlap_ms > 0 then clock_timestamp() + overlap_ms * interval '1 ms' end
   where id = p.id;
end $function$;

CREATE OR REPLACE FUNCTION engine.see_latest()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'events are owed in a read committed transaction' using errcode = '25000';
  end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.settle_deliveries(results jsonb)
 RETURNS TABLE(endpoint_id bigint, alarm text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare a record; is_received boolean; is_over boolean; wait interval; said text; o redelivery; l delivery_line; waited boolean;
begin
  -- Endpoints first, as whoever changes one; then lines, in the order of publishing.
  perform from endpoint x
    where x.id in (select t.endpoint from jsonb_to_recordset(results) r(attempt bigint, status smallint) join delivery_attempt t on t.id = r.attempt
                    where r.status not between 200 and 299 or r.status is null or x.failures > 0) order by x.id for no key update;
  for a in
    select t.id, t.token, t.at, t.subject, t.sequence, t.endpoint, t.redelivery, t.counts, r.status, r.fault, r.ms, r.answer, r."waitMs" as wait_ms
      from jsonb_to_recordset(results) r(attempt bigint, status smallint, fault text, ms integer, answer text, "waitMs" bigint)
      join delivery_attempt t on t.id = r.attempt
     where t.status is null and t.fault is null
     order by t.endpoint, t.subject, t.id
  loop
    is_received := a.status between 200 and 299;
    wait := case when a.wait_ms is not null then least(a.wait_ms, 86400000) * interval '1 ms' end;
    update delivery_attempt set status = a.status, fault = coalesce(a.fault, case when a.status is null then 'unknown' end), ms = a.ms, answer = left(a.answer, 200)
     where id = a.id;
    said := note_health(a.endpoint, a.at, is_received, a.status, wait);
    if said is not null then endpoint_id := a.endpoint; alarm := said; return next; end if;
    -- The line before its deliveries. What was published until now is seen after it.
    select * into l from delivery_line x where x.endpoint = a.endpoint and x.subject = a.subject for update;
    select d.outcome is null into waited from delivery d where d.subject = a.subject and d.endpoint = a.endpoint and d.sequence = a.sequence;
    if is_received then
      update delivery set outcome = 'delivered', settled_at = clock_timestamp()
       where subject = a.subject and endpoint = a.endpoint and sequence = a.sequence and outcome is distinct from 'delivered';
      -- It was the first of a line that is not this sender's: the next has its own tries.
      if waited and l.token is distinct from a.token
         and not exists (select from delivery d where d.subject = a.subject and d.endpoint = a.endpoint and d.outcome is null and d.sequence < a.sequence) then
        update delivery_line x set tries = 0, next_at = least(x.next_at, clock_timestamp()) where x.endpoint = a.endpoint and x.subject = a.subject;
      end if;
    end if;

    if a.redelivery is not null then
      select * into o from redelivery where id = a.redelivery and token = a.token and done_at is null for no key update;
      continue when o.id is null;
      if is_received or o.tries >= 2 then
        update redelivery set position = (select d.position from delivery d where d.subject = a.subject and d.endpoint = a.endpoint and d.sequence = a.sequence),
               tries = 0, next_at = clock_timestamp() + interval '100 ms', token = null, leased_until = null where id = o.id;
      else
        update redelivery set tries = tries + 1, next_at = clock_timestamp() + greatest(wait, delivery_gap(o.tries + 1)), token = null, leased_until = null where id = o.id;
      end if;
      continue;
    end if;

    continue when l.token is distinct from a.token;
    is_over := is_received or not waited;
    if not is_over and a.counts and l.tries + 1 >= 10 then
      update delivery set outcome = 'given_up', settled_at = clock_timestamp()
       where subject = a.subject and endpoint = a.endpoint and sequence = a.sequence and outcome is null;
      update endpoint set probe = null where id = a.endpoint and probe = a.subject;
      is_over := true;
    end if;
    if is_over then
      -- A statement of its own, after the lock: it sees what was published meanwhile.
      if exists (select from delivery d where d.subject = a.subject and d.endpoint = a.endpoint and d.outcome is null) then
        update delivery_line x set tries = 0, next_at = clock_timestamp(), token = null, leased_until = null where x.endpoint = a.endpoint and x.subject = a.subject;
      else
        delete from delivery_line x where x.endpoint = a.endpoint and x.subject = a.subject;
        update endpoint set probe = null where id = a.endpoint and probe = a.subject;
      end if;
    elsif a.counts then
      update endpoint x set probe = a.subject where x.id = a.endpoint and x.probe is null and x.failures >= 3;
      update delivery_line x set tries = l.tries + 1, next_at = clock_timestamp() + greatest(wait, delivery_gap(l.tries + 1)), token = null, leased_until = null
       where x.endpoint = a.endpoint and x.subject = a.subject;
    else
      -- Behind the others that are due, so that each has its turn.
      update delivery_line x set next_at = greatest(x.next_at, clock_timestamp()), token = null, leased_until = null
       where x.endpoint = a.endpoint and x.subject = a.subject;
    end if;
  end loop;
end $function$;

CREATE OR REPLACE FUNCTION engine.settle_routing(c engine.callback, by_key text, at_ms bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  insert into callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
  select by_key, at_ms, c.external_order_number, c.content_hash where by_key is not null and c.deposit is not null
  on conflict do nothing;
  if c.receipt = 'first' then
    update deposit d set bound_callback = c.id where d.external_order_number = c.deposit;
  end if;
end $function$;

CREATE OR REPLACE FUNCTION engine.show_answer(of_order text, attempt integer)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.show_link(of_order text, attempt integer)
 RETURNS void
 LANGUAGE sql
AS $function$
  update deposit d
     set redirect_url = a.answer->>'redirectUrl', advertisement_code = a.answer->>'advertisementCode', placed_at = t.at,
         expires_at = t.at + (d.settings->>'paymentWindowMs')::bigint * interval '1 millisecond',
         listening_until = t.at + ((d.settings->>'paymentWindowMs')::bigint + (d.settings->>'listeningWindowMs')::bigint) * interval '1 millisecond'
    from placement_attempt a, (select clock_timestamp() as at) t
   where d.external_order_number = of_order and a.external_order_number = of_order and a.n = attempt
     and a.answer->>'kind' = 'placed' and d.redirect_url is null
     -- Or people credited a payment of it while its order was being placed.
     and (d.state in ('PLACING', 'PLACEMENT_UNKNOWN') or d.settled_by is not null and d.expires_at is null) $function$;

CREATE OR REPLACE FUNCTION engine.show_proposal(of_case text, shown bigint)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  update review_case v set proposal = shown
   where v.workflow_id = of_case and num_nulls(v.closed_at) = 1
     and (shown is null or exists (select from decision p where p.id = shown and p.workflow_id = of_case and p.step = 'propose')) $function$;

CREATE OR REPLACE FUNCTION engine.shred_payer_names(older_than interval, at_most integer)
 RETURNS integer
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  with old as (
    select external_order_number from deposit
     where payer_name is not null and created_at < clock_timestamp() - older_than
       and (state <> 'PLACING' or created_at < clock_timestamp() - interval '1 day')
     order by created_at limit least(at_most, 1000) for update skip locked),
  shredded as (
    update deposit d set payer_name = null, payer_name_key = null from old
     where d.external_order_number = old.external_order_number returning 1)
  select count(*)::integer from shredded $function$;

CREATE OR REPLACE FUNCTION engine.stale_before(listening_ms bigint)
 RETURNS bigint
 LANGUAGE sql
AS $function$
  select (extract(epoch from clock_timestamp()) * 1000)::bigint - greatest(listening_ms + 24 * 3600000, 7 * 24 * 3600000) $function$;

CREATE OR REPLACE FUNCTION engine.stamp_may_go(of_key text, at_ms bigint, of_order text, content bytea)
 RETURNS boolean
 LANGUAGE sql
 SET search_path TO 'engine', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
  select at_ms < stale_before(0)
     and not exists (select from deposit d where d.external_order_number = of_order and d.closed_at is null
                        and at_ms < stale_before((d.settings->>'listeningWindowMs')::bigint) is not true)
     and not exists (select from callback c where c.external_order_number = of_order and c.content_hash = content and c.receipt = 'first'
                        and not exists (select from callback_attempt a
                                         where a.callback = c.id and a.key_id = of_key and a.timestamp_ms = at_ms)) $function$;

CREATE OR REPLACE FUNCTION engine.take_step(proof bytea, of_case text, step text, decision text, keep boolean, to_deposit text, beside bigint, only_ordered boolean, of_proposal bigint, reason text, transaction_code text, amount numeric, currency_code text, payment_price numeric, statement_line text, signature bytea, signer_key text, nonce bytea)
 RETURNS TABLE(id bigint, uid uuid)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare person record; about record;
begin
  select o.key_id, o.name, o.wallets into person from operator_by(proof) o;
  select v.callback, coalesce(d.wallet, '') as wallet into about
    from review_case v join callback c on c.id = v.callback left join deposit d on d.external_order_number = c.external_order_number
   where v.workflow_id = of_case;
  if about.callback is null then raise exception 'there is no case %', of_case using errcode = 'P0E30'; end if;
  if not about.wallet = any (person.wallets)
     or take_step.step <> 'withdraw' and moves_elsewhere(of_case, take_step.decision, of_proposal, person.wallets)
     or (take_step.to_deposit is not null and not exists (
       select from deposit d where d.external_order_number = take_step.to_deposit
          and (person.wallets is null or d.wallet = any (person.wallets)))) then
    raise exception 'there is nothing of that name for this key' using errcode = 'P0E36';
  end if;
  insert into decision as w (callback, workflow_id, step, decision, keep, to_deposit, beside, only_ordered, proposal, reason, operator, key_id,
                             signature, signer_key, nonce)
  values (about.callback, of_case, take_step.step, take_step.decision, take_step.keep, take_step.to_deposit, take_step.beside,
          take_step.only_ordered, of_proposal, take_step.reason, person.name, person.key_id,
          take_step.signature, take_step.signer_key, take_step.nonce)
  returning w.id, w.uid into id, uid;
  if take_step.transaction_code is not null then
    insert into stated_facts (decision, transaction_code, amount, currency_code, payment_price, statement_line)
    values (id, take_step.transaction_code, take_step.amount, take_step.currency_code, take_step.payment_price, take_step.statement_line);
  end if;
  return next;
end $function$;

CREATE OR REPLACE FUNCTION engine.tell(of_subject text, as_type text, of_posting bigint, of_case text, more jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare d record; n integer;
begin
  update deposit o set events = o.events + 1 where o.external_order_number = of_subject
  returning o.events, o.wallet, o.state, o.late into d;
  n := d.events;
  if not found then
    perform from callback c where of_subject = 'callback:' || c.id and c.id = substr(of_subject, 10)::bigint for no key update;
    select coalesce(max(e.sequence), 0) + 1 into n from event e where e.subject = of_subject;
  end if;
  insert into event (subject, sequence, type, wallet, posting, case_id, epoch, data)
  values (of_subject, n, as_type, d.wallet, of_posting, of_case, 1 + (select count(*) from restored), jsonb_build_object('state', d.state, 'late', d.late) || more);
end $function$;

CREATE OR REPLACE FUNCTION engine.tell_case()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
end $function$;

CREATE OR REPLACE FUNCTION engine.tell_endpoint(p engine.endpoint, as_type text, more jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare of_subject text := 'endpoint:' || p.id; n integer;
begin
  select coalesce(max(e.sequence), 0) + 1 into n from event e where e.subject = of_subject;
  insert into event (subject, sequence, type, wallet, posting, case_id, epoch, data)
  values (of_subject, n, as_type, null, null, null, 1 + (select count(*) from restored),
          jsonb_build_object('sequence', n, 'endpoint', 'ep_' || p.id, 'failingSince', as_time(p.failing_since)) || more);
end $function$;

CREATE OR REPLACE FUNCTION engine.tell_posting(of_posting bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare t ledger.transaction;
begin
  select p.* into t from ledger.transaction p
   where p.id = of_posting and p.credit_code like 'wallet:%' and not exists (select from event e where e.posting = p.id);
  if t.id is null then return; end if;
  -- The books compare texts by their bytes, and the index of deposits does not.
  perform tell(t.deposit collate "default", case when t.amount < 0 then 'deposit.reversed' when t.kind = 'reversal' then 'deposit.restored' else 'deposit.payment_added' end,
               t.id, null, event_money(t));
end $function$;

CREATE OR REPLACE FUNCTION engine.tell_state()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin
  insert into event (subject, sequence, type, wallet, posting, epoch, data)
  select new.external_order_number, new.events, w.type, new.wallet, w.posting, 1 + (select count(*) from restored),
         jsonb_build_object('state', new.state, 'late', new.late) || w.more
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
end $function$;

CREATE OR REPLACE FUNCTION engine.told(of_order text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
  update deposit d set told_at = clock_timestamp()
   where d.external_order_number = of_order and d.settled_by is not null and d.told_at is null $function$;

CREATE OR REPLACE FUNCTION engine.unit_price(price numeric, amount numeric)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select div(price * 100000000, amount) * 0.00000001 $function$;

CREATE OR REPLACE FUNCTION engine.unknown_for_long(of_order text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
begin
  return coalesce((select clock_timestamp() - min(c.received_at) > interval '6 hours'
                     from callback c where c.external_order_number = of_order and c.receipt = 'unknown_order'), false);
end $function$;

CREATE OR REPLACE FUNCTION engine.verify_archive()
 RETURNS TABLE(n bigint, ok boolean)
 LANGUAGE sql
 STABLE
 SET search_path TO 'engine', 'pg_temp'
AS $function$
  select a.n, a.n = coalesce(lag(a.n) over w, 0) + 1 and a.prev = coalesce(lag(a.hash) over w, sha256('engine.archive'))
              and a.hash = sha256(a.prev || convert_to(archive_line(a), 'UTF8'))
    from archive a window w as (order by a.n) $function$;

CREATE OR REPLACE FUNCTION engine.verify_mac(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, by_key text, at_ms bigint, by_seal_key text, at_sealed_ms bigint, by_mac bytea)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'pg_temp'
AS $function$
declare
  k seal_mac;
  sealed bytea := convert_to(concat_ws('|', 'v1', as_receipt, of_order, encode(content, 'hex'), encode(sha256(bytes), 'hex'),
                                       coalesce(by_key, ''), coalesce(at_ms::text, ''), at_sealed_ms), 'UTF8');
begin
  perform demand_now();
  select * into k from seal_mac m where m.key = by_seal_key;
  if (sha256(by_mac) = sha256(sha256(k.outer_pad || sha256(k.inner_pad || sealed)))) is not true
     or says is not null and content is distinct from sha256(convert_to('[' || concat_ws(',',
          to_json(says->>'externalOrderNumber'), to_json(says->>'transactionCode'), to_json(says->>'transactionAmount'),
          to_json(says->>'currencyCode'), to_json(says->>'paymentPrice'), to_json(says->>'transactionCreateTime'),
          to_json(says->>'paymentFinishedTime')) || ']', 'UTF8')) then
    if not exists (select from seal_demand) then return null; end if;
    raise exception 'a message of % without the MAC of a registered key', of_order using errcode = 'P0E61';
  end if;
  return k.key;
end $function$;

CREATE OR REPLACE FUNCTION engine.waits_for_voucher(of_callback bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
begin return exists (select from callback c where c.id = of_callback and num_nulls(c.outcome) = 1 and not is_vouched(c.vouched_by)); end $function$;

CREATE OR REPLACE FUNCTION engine.write_message(of_order text, content bytea, says jsonb, bytes bytea, as_receipt text, reason text, by_key text, at_ms bigint, copies integer, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_registered text)
 RETURNS SETOF engine.callback
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
declare c callback; is_known boolean := admit_receipt(of_order, as_receipt, says is not null);
begin
  if num_nulls(by_key, at_ms, by_seal, by_seal_key, at_sealed_ms) > 0 or copies not between 1 and 1000 then
    raise exception 'a message has a stamp and a seal' using errcode = 'P0E60';
  end if;
  insert into callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked, attempts,
                        seal, seal_key, sealed_ms, vouched_by)
  values (of_order, case when as_receipt <> 'unknown_order' then of_order end, says->>'transactionCode', content, says, bytes,
          as_receipt, reason, as_receipt <> 'unknown_order' or (not is_known and unknown_for_long(of_order)), copies,
          by_seal, by_seal_key, at_sealed_ms, by_registered)
  returning * into c;
  perform keep_attempts(c.id, 1, copies, by_key, at_ms);
  perform settle_routing(c, by_key, at_ms);
  return next c;
end $function$;

CREATE OR REPLACE FUNCTION engine.write_restored(of_order text, said text, why text, by_seal bytea, by_seal_key text, at_sealed_ms bigint, by_registered text)
 RETURNS SETOF engine.callback
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
    insert into callback as c (external_order_number, deposit, content_hash, raw, receipt, review_reason, acked, seal, seal_key, sealed_ms, vouched_by)
    values (of_order, d.n, sha256(convert_to('restored|' || said, 'UTF8')), convert_to(said, 'UTF8'), 'restored', why, true,
            by_seal, by_seal_key, at_sealed_ms, by_registered)
    on conflict do nothing returning c.*;
end $function$;

CREATE OR REPLACE FUNCTION ledger.audit()
 RETURNS TABLE(fault text, found bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
  select 'broken block', count(*) from verify_chain() where not ok
  union all
  select 'posting not in exactly one block', count(*) from (
    select from transaction t full join (select unnest(members) as id from block) m using (id)
     group by id having count(t.key) <> 1 or count(m.id) <> 1) x
  union all
  select 'unbalanced posting', count(*) from (select from entry group by transaction_id having sum(amount) <> 0) x
  union all
  select 'entry differs from its posting', count(*) from
         (select t.id, l.line, l.code, l.amount from transaction t cross join lateral legs(t) l) w
    full join (select e.transaction_id as id, e.line, a.code, e.amount from entry e join account a on a.id = e.account_id) h using (id, line)
   where (w.code, w.amount) is distinct from (h.code::text, h.amount::numeric)
  union all
  select 'balance differs from its entries', count(*) from trial_balance where kept <> summed or kept_entries <> entries
  union all
  select 'books do not add up to zero', count(*) from (select from trial_balance group by asset having sum(kept) <> 0) x
  union all
  select 'suspense differs from its open cases', count(*) from trial_balance b
   where b.code like 'suspense:%' and -b.kept <> coalesce((select sum(o.amount) from suspense_open o where 'suspense:' || o.provider = b.code), 0)
  union all
  select 'slot differs from what stands in wallets', count(*) from
         (select deposit, (array_agg(key order by id desc))[1] as key from transaction t
           where deposit is not null and amount > 0 and credit_code like 'wallet:%'
             and not exists (select from transaction s where s.origin = t.id) group by deposit) w
    full join slot s using (deposit)
   where w.key is distinct from s.key
  union all
  select 'lineage differs from its origins', count(*) from (
    with recursive chain as (
      select t.id, t.id as root from transaction t
       where t.origin is null and exists (select from transaction s where s.origin = t.id)
      union all
      select t.id, c.root from chain c join transaction t on t.origin = c.id)
    select from (select id as transaction_id, root from chain where id <> root) w
      full join lineage l using (transaction_id) where w.root is distinct from l.root) x $function$;

CREATE OR REPLACE FUNCTION ledger.balanced()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'ledger', 'pg_temp'
AS $function$ begin
  if exists (select from fresh group by transaction_id having sum(amount) <> 0) then
    raise exception 'unbalanced posting' using errcode = 'P0L02'; end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION ledger.code(of_id bigint)
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$
  select r.provider_code from transaction r where r.id = root(of_id) $function$;

CREATE OR REPLACE FUNCTION ledger.content(ids bigint[])
 RETURNS bytea
 LANGUAGE plpgsql
 STABLE
AS $function$ begin return (select sha256(convert_to(string_agg(ledger.line(t), E'\n' order by t.id), 'UTF8')) from ledger.transaction t where t.id = any(ids)); end $function$;

CREATE OR REPLACE FUNCTION ledger.credit(items jsonb)
 RETURNS TABLE(ord bigint, outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$ begin return query select * from post(incoming('credit', items)); end $function$;

CREATE OR REPLACE FUNCTION ledger.follow()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
declare head block;
begin
  perform from turn where one for update;
  if not found then raise exception 'ledger.turn is empty' using errcode = 'P0L05'; end if;
  select * into head from block order by n desc limit 1;
  if found and (new.n, new.prev) is distinct from (head.n + 1, head.hash) then
    new.n := head.n + 1;  new.prev := head.hash;  new.at := clock_timestamp();
    new.hash := seal(new.n, new.prev, new.at, content(new.members));
  end if;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION ledger.forbid()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ begin raise exception 'ledger.% is append-only', tg_table_name using errcode = 'P0L01'; end $function$;

CREATE OR REPLACE FUNCTION ledger.give_back(new_key text, from_id bigint, by_workflow text, by_actor text, why text)
 RETURNS TABLE(outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
declare t transaction;
begin
  select * into t from transaction where id = from_id;
  if t.id is null or place(t) <> 'suspense:' || t.provider then
    raise exception 'posting % left nothing in suspense', from_id using errcode = 'P0L04'; end if;
  t.key := new_key;  t.kind := 'reversal';  t.origin := from_id;  t.provider_code := null;
  t.debit_code := 'clearing:' || t.provider;  t.credit_code := 'suspense:' || t.provider;
  t.amount := -abs(t.amount);  t.fee := 0;  t.rest := null;  t.beside := null;
  t.workflow_id := by_workflow;  t.actor := by_actor;  t.reason := why;
  return query select p.outcome, p.id, p.posted_at from post(array[t]) p;
end $function$;

CREATE OR REPLACE FUNCTION ledger.incoming(as_kind text, items jsonb)
 RETURNS ledger.transaction[]
 LANGUAGE plpgsql
 STABLE
AS $function$ begin
  return (select array_agg(row(null, x.key, as_kind, x.deposit, x.provider, x.provider_code, 'clearing:' || x.provider,
                               case as_kind when 'credit' then 'wallet:' || x.wallet else 'suspense:' || x.provider end,
                               x.amount, x.fee, x.fiat, x.fiat_amount, x.unit_price, null, x.workflow_id, null, null, null, null, null)::ledger.transaction order by x.ord)
            from rows from (jsonb_to_recordset(items) as (key text, deposit text, provider text, provider_code text, wallet text, amount numeric,
                            fee numeric, fiat text, fiat_amount numeric, unit_price numeric, workflow_id text))
                 with ordinality x(key, deposit, provider, provider_code, wallet, amount, fee, fiat, fiat_amount, unit_price, workflow_id, ord));
end $function$;

CREATE OR REPLACE FUNCTION ledger.legs(t ledger.transaction)
 RETURNS TABLE(line smallint, code text, amount numeric)
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select v.line::smallint, v.code, v.amount
    from (values (1, t.debit_code::text, t.amount::numeric),
                 (2, t.credit_code::text, t.fee + coalesce(t.rest, 0) - t.amount),
                 (3, 'fees', -t.fee),
                 (4, 'suspense:' || t.provider, -t.rest)) v(line, code, amount)
   where v.amount <> 0 $function$;

CREATE OR REPLACE FUNCTION ledger.line(t ledger.transaction)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select concat_ws('|', t.id, t.key, t.kind, coalesce(t.deposit, ''), t.provider, coalesce(t.provider_code, ''),
    t.debit_code, t.credit_code, trim_scale(t.amount), trim_scale(t.fee), coalesce(t.fiat, ''),
    coalesce(trim_scale(t.fiat_amount)::text, ''), coalesce(trim_scale(t.unit_price)::text, ''), coalesce(t.origin::text, ''),
    t.workflow_id, coalesce(t.actor, ''), coalesce(encode(sha256(convert_to(t.reason, 'UTF8')), 'hex'), ''),
    (extract(epoch from t.posted_at) * 1000000)::bigint, t.beside, 'rest:' || trim_scale(t.rest)) $function$;

CREATE OR REPLACE FUNCTION ledger.park(items jsonb)
 RETURNS TABLE(ord bigint, outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$ begin return query select * from post(incoming('suspense', items)); end $function$;

CREATE OR REPLACE FUNCTION ledger.place(t ledger.transaction)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select case when t.amount > 0 then t.credit_code else t.debit_code end $function$;

CREATE OR REPLACE FUNCTION ledger.post(rows ledger.transaction[])
 RETURNS TABLE(ord bigint, outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SET search_path TO 'ledger', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
#variable_conflict use_column
declare
  fresh bigint[]; digest bytea; head block; stamp timestamptz;
  taken text[];                                   -- keys that took a free slot now
  shifted text[]; before text[];                  -- keys that took a slot beside another, and the keys that had it
  leaves boolean := exists (select from unnest(rows) r where r.amount < 0 and r.credit_code like 'wallet:%');
begin
  if coalesce(cardinality(rows), 0) not between 1 and 500 then
    raise exception 'a batch holds 1 to 500 items, not %', coalesce(cardinality(rows), 0) using errcode = 'P0L03'; end if;
  -- An answer must mean "on disk", whatever the session asked for. Holds until the end of this transaction.
  if current_setting('synchronous_commit') <> 'remote_apply' then perform set_config('synchronous_commit', 'on', true); end if;

  -- 1. Slots. Whatever takes money out of a deposit's wallet and whatever puts it in wait for each other here.
  if leaves then
    perform from slot s where s.deposit in (select r.deposit from unnest(rows) r) order by s.deposit for update;
  end if;
  with s as (
    insert into slot
    select r.deposit, min(r.key) from unnest(rows) r
     where r.amount > 0 and r.credit_code like 'wallet:%' and r.beside is null group by r.deposit order by r.deposit
    on conflict do nothing returning slot.key)
  select array_agg(s.key) into taken from s;
  with s as (
    update slot s set key = r.key
      from unnest(rows) r join transaction o on o.id = r.beside
     where s.deposit = r.deposit and s.key = o.key and r.amount > 0 and r.credit_code like 'wallet:%'
    returning s.key, o.key as old)
  select array_agg(s.key), array_agg(s.old) into shifted, before from s;

  -- 2. Keys. Into a wallet goes only what has the slot by now, seen by a new statement.
  with t as (
    insert into transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee,
                             fiat, fiat_amount, unit_price, origin, workflow_id, actor, reason, beside, rest)
    select key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee,
           fiat, fiat_amount, unit_price, origin, workflow_id, actor, reason, beside, rest
      from unnest(rows) with ordinality r
     where not (r.amount > 0 and r.credit_code like 'wallet:%')
        or exists (select from slot s where s.deposit = r.deposit and s.key = r.key)
     -- Codes in one order: slots have kept batches with the same deposits apart already.
     order by r.provider_code, r.key, r.ordinality
    on conflict do nothing returning id)     -- no target: every unique index counts
  select array_agg(id order by id) into fresh from t;

  -- 3. A slot that was taken now for what did not come to be (its code, origin or key is used up) is given back.
  if coalesce(cardinality(fresh), 0) < cardinality(rows) then
    delete from slot s where s.key = any(taken) and not exists (select from transaction t where t.id = any(fresh) and t.key = s.key);
    update slot s set key = u.old from unnest(shifted, before) u(key, old)
     where s.key = u.key and not exists (select from transaction t where t.id = any(fresh) and t.key = s.key);
  end if;

  -- 4. Answers. Scalar lookups per item (LATERAL … LIMIT 1) cannot become hash joins. workflow_id, actor and reason are not facts.
  return query
  select m.ord,
         case when not m.same then 'conflict'
              when m.id = any(fresh) and row_number() over (partition by m.id, m.same order by m.ord) = 1 then 'posted'
              else 'duplicate' end,
         m.id, m.posted_at
    from (select x.ordinality as ord, coalesce(t.id, c.id) as id, coalesce(t.posted_at, c.posted_at) as posted_at,
                 t.id is not null and
                 (t.kind, t.deposit, t.provider, t.provider_code, t.debit_code, t.credit_code, t.amount, t.fee, t.fiat, t.fiat_amount, t.unit_price, t.origin, t.beside, t.rest)
                 is not distinct from
                 (x.kind, x.deposit, x.provider, x.provider_code, x.debit_code, x.credit_code, x.amount, x.fee, x.fiat, x.fiat_amount, x.unit_price, x.origin, x.beside, x.rest) as same
            from unnest(rows) with ordinality x
            left join lateral (select * from transaction t where t.key = x.key limit 1) t on true
            left join lateral (
              select c.id, c.posted_at from transaction c where t.id is null and c.provider = x.provider and c.provider_code = x.provider_code
              union all
              select c.id, c.posted_at from transaction c where t.id is null and x.kind = 'credit' and c.kind = 'credit' and c.deposit = x.deposit
              union all
              select c.id, c.posted_at from transaction c where t.id is null and c.origin = x.origin
              union all
              select c.id, c.posted_at from slot s join transaction c on c.key = s.key
               where t.id is null and s.deposit = x.deposit and x.amount > 0 and x.credit_code like 'wallet:%'
              limit 1) c on true) m
   order by m.ord;
  if fresh is null then return; end if;

  -- 5. What continues a chain; and a slot whose money left goes to the newest payment that still stands.
  insert into lineage
  select t.id, root(t.origin) from transaction t where t.id = any(fresh) and t.origin is not null order by t.id;
  if leaves then
    update slot s set key = n.key
      from transaction t join transaction o on o.id = t.origin
      cross join lateral (select w.key from standing(o.deposit) w order by w.id desc limit 1) n
     where t.id = any(fresh) and t.amount < 0 and t.credit_code like 'wallet:%' and s.deposit = o.deposit and s.key = o.key;
    delete from slot s using transaction t join transaction o on o.id = t.origin
     where t.id = any(fresh) and t.amount < 0 and t.credit_code like 'wallet:%' and s.deposit = o.deposit and s.key = o.key;
  end if;

  -- 6. Accounts, entries, balances, block.
  insert into account (code, kind)
  select distinct credit_code, 'liability' from transaction where id = any(fresh) and credit_code like 'wallet:%' order by 1
  on conflict do nothing;
  insert into entry (transaction_id, line, account_id, amount)
  select t.id, l.line, (select a.id from account a where a.code = l.code), l.amount      -- no such account: not-null violation
    from transaction t cross join lateral legs(t) l where t.id = any(fresh);
  digest := content(fresh);

  insert into balance
  select account_id, sum(amount), count(*) from entry where transaction_id = any(fresh) group by account_id order by account_id desc
  on conflict (account_id) do update
     set amount = balance.amount + excluded.amount, entries = balance.entries + excluded.entries;
  perform from turn where one for update;
  select * into head from block order by n desc limit 1;
  stamp := clock_timestamp();
  insert into block values (head.n + 1, head.hash, seal(head.n + 1, head.hash, stamp, digest), fresh, stamp);
end $function$;

CREATE OR REPLACE FUNCTION ledger.postings_of(of_deposit text)
 RETURNS SETOF ledger.transaction
 LANGUAGE sql
 STABLE
AS $function$
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind = 'credit'
  union all
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind = 'suspense'
  union all
  select t.* from ledger.transaction t where t.deposit = of_deposit and t.kind in ('release', 'reversal') $function$;

CREATE OR REPLACE FUNCTION ledger.release(new_key text, from_id bigint, to_deposit text, to_wallet text, new_fee numeric, by_workflow text, by_actor text, why text, next_to bigint DEFAULT NULL::bigint, kept numeric DEFAULT NULL::numeric)
 RETURNS TABLE(outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
declare t transaction;
begin
  select * into t from transaction where id = from_id;
  if t.id is null or place(t) <> 'suspense:' || t.provider then
    raise exception 'posting % left nothing in suspense', from_id using errcode = 'P0L04'; end if;
  t.key := new_key;  t.kind := 'release';  t.origin := from_id;  t.provider_code := null;
  t.debit_code := 'suspense:' || t.provider;  t.credit_code := 'wallet:' || to_wallet;
  t.deposit := to_deposit;  t.amount := abs(t.amount);  t.fee := new_fee;  t.beside := next_to;  t.rest := kept;
  t.workflow_id := by_workflow;  t.actor := by_actor;  t.reason := why;
  return query select p.outcome, p.id, p.posted_at from post(array[t]) p;
end $function$;

CREATE OR REPLACE FUNCTION ledger.reverse(new_key text, of_id bigint, keep boolean, by_workflow text, by_actor text, why text, next_to bigint DEFAULT NULL::bigint)
 RETURNS TABLE(outcome text, id bigint, posted_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'ledger', 'pg_temp'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
declare t transaction;
begin
  select * into t from transaction where id = of_id;
  if t.id is null then raise exception 'no posting %', of_id using errcode = 'P0L04'; end if;
  if keep and place(t) not like 'wallet:%' then
    raise exception 'posting % put nothing into a wallet', of_id using errcode = 'P0L04'; end if;
  t.key := new_key;  t.kind := 'reversal';  t.origin := of_id;  t.provider_code := null;
  t.amount := -t.amount;  t.fee := -t.fee;  t.rest := -t.rest;  t.beside := next_to;
  if t.amount < 0 and t.credit_code like 'wallet:%' then
    t.debit_code := case when keep then 'suspense:' else 'clearing:' end || t.provider;
  end if;
  t.workflow_id := by_workflow;  t.actor := by_actor;  t.reason := why;
  return query select p.outcome, p.id, p.posted_at from post(array[t]) p;
end $function$;

CREATE OR REPLACE FUNCTION ledger.root(of_id bigint)
 RETURNS bigint
 LANGUAGE sql
 STABLE
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
  select coalesce((select l.root from lineage l where l.transaction_id = of_id), of_id) $function$;

CREATE OR REPLACE FUNCTION ledger.seal(n bigint, prev bytea, at timestamp with time zone, content bytea)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE
AS $function$ select sha256(prev || int8send(n) || int8send((extract(epoch from at) * 1000000)::bigint) || content) $function$;

CREATE OR REPLACE FUNCTION ledger.standing(of_deposit text)
 RETURNS SETOF ledger.transaction
 LANGUAGE sql
 STABLE
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
  select t.* from transaction t
   where t.deposit = of_deposit and t.kind = 'credit' and not exists (select from transaction s where s.origin = t.id)
  union all
  select t.* from transaction t
   where t.deposit = of_deposit and t.kind in ('release', 'reversal') and t.amount > 0 and t.credit_code like 'wallet:%'
     and not exists (select from transaction s where s.origin = t.id) $function$;

CREATE OR REPLACE FUNCTION ledger.tip(of_root bigint)
 RETURNS ledger.transaction
 LANGUAGE sql
 STABLE
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
  select t from transaction t
   where t.id = coalesce((select max(l.transaction_id) from lineage l where l.root = of_root), of_root) $function$;

CREATE OR REPLACE FUNCTION ledger.verify_chain()
 RETURNS TABLE(n bigint, ok boolean)
 LANGUAGE sql
 STABLE
 SET search_path TO 'ledger', 'pg_temp'
AS $function$
  select b.n, coalesce(case when b.n = 0 then b.prev = '' and b.hash = sha256('genesis')
                            else b.n = lag(b.n) over w + 1 and b.prev = lag(b.hash) over w and b.hash = seal(b.n, b.prev, b.at, content(b.members)) end, false)
    from block b window w as (order by b.n) $function$;
