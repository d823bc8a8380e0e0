-- Events are sent to the endpoints of merchants (docs/reference/webhooks.md). A process of its own sends them, with a login that
-- does this alone.
do $$ begin
  if not exists (select from pg_roles where rolname = 'app_notifier') then
    begin create role app_notifier login;
    exception when duplicate_object or unique_violation then null; end;
  end if;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant app_notifier to %I', current_user);
  end if;
end $$;
grant usage on schema engine to app_notifier;
set local search_path = engine, pg_temp;

create or replace function pg_temp.change(f regprocedure, was text, becomes text) returns void language plpgsql as $$
declare before text := pg_get_functiondef(f); after text := replace(before, was, becomes);
begin
  if after = before then raise exception '% does not say: %', f, was; end if;
  execute after;
end $$;

-- Not validated: the rows were written under a narrower check.
alter table event drop constraint event_type_check;
alter table event add constraint event_type_check check (type in ('deposit.placed', 'deposit.refused', 'deposit.unknown', 'deposit.expired',
  'deposit.credited', 'deposit.settled', 'deposit.in_review', 'deposit.rejected', 'deposit.unpaid', 'deposit.reversed', 'deposit.restored',
  'deposit.payment_added', 'case.opened', 'case.decided', 'endpoint.failing', 'endpoint.disabled')) not valid;

create table endpoint (
  id            bigint generated always as identity primary key,
  owner         text not null,                   -- the name of the API key that made it; every key of this name manages it
  wallets       text[],                          -- the limit of that key; null: none
  url           text not null check (char_length(url) between 1 and 2000),
  types         text[],                          -- null: every type
  state         text not null default 'on' check (state in ('on', 'off', 'disabled', 'deleted')), -- off: by its owner; disabled: by its failures
  signature     text not null check (signature in ('v1', 'v1a')),
  secret        bytea not null,                  -- encrypted; signs
  public_key    text,                            -- of v1a
  secret_before bytea,                           -- signs as well, until then
  before_until  timestamptz,
  from_position bigint not null,                 -- events after it, under the present types
  created_at    timestamptz not null default clock_timestamp(),
  -- Its health. Three failures in a row: it is failing, and one message at a time tries it.
  failures      integer not null default 0,
  failing_since timestamptz,
  warned        smallint not null default 0,
  resume_at     timestamptz,                     -- nothing is sent before
  probe         text,                            -- whose message uses up its tries meanwhile
  check ((signature = 'v1a') = (public_key is not null)),
  check ((secret_before is null) = (before_until is null)));
create index endpoint_by_owner on endpoint (owner, id);

-- An event that is owed to an endpoint, from the moment that it is published.
create table delivery (
  subject    text not null,
  sequence   integer not null,
  endpoint   bigint not null references endpoint,
  position   bigint not null,                    -- of the event
  outcome    text check (outcome in ('delivered', 'given_up')),
  settled_at timestamptz,
  primary key (subject, endpoint, sequence),
  foreign key (subject, sequence) references event (subject, sequence),
  check ((outcome is null) = (settled_at is null)));
create unique index delivery_by_endpoint on delivery (endpoint, position);
create index delivery_missing on delivery (endpoint, position) where outcome is distinct from 'delivered';

-- The deliveries of one deposit to one endpoint stand in line: there is a row while some wait, and only the first of them is sent.
create table delivery_line (
  endpoint     bigint not null references endpoint,
  subject      text not null,
  tries        smallint not null default 0,      -- of the first
  next_at      timestamptz not null,
  token        uuid,                             -- the sender that has it
  leased_until timestamptz,
  primary key (endpoint, subject)) with (fillfactor = 80);
create index line_due on delivery_line (endpoint, next_at);
create index line_leased on delivery_line (endpoint, leased_until) where leased_until is not null;

-- Deliveries that the owner wants once more, outside of the order: those after one position up to another.
create table redelivery (
  id             bigint generated always as identity primary key,
  endpoint       bigint not null references endpoint,
  after_position bigint not null,
  upto_position  bigint not null check (upto_position > after_position),
  position       bigint not null,                -- done so far
  asked_by       text not null,
  asked_at       timestamptz not null default clock_timestamp(),
  tries          smallint not null default 0,
  next_at        timestamptz not null default clock_timestamp(),
  token          uuid,
  leased_until   timestamptz,
  done_at        timestamptz);
create index redelivery_due on redelivery (endpoint, id) where done_at is null;

-- Written before the bytes are sent. Without a status or a fault: the sender ended before it knew.
create table delivery_attempt (
  id         bigint generated always as identity primary key,
  subject    text not null,
  sequence   integer not null,
  endpoint   bigint not null,
  redelivery bigint references redelivery,
  at         timestamptz not null default clock_timestamp(),
  token      uuid not null,
  counts     boolean not null,                   -- whether it uses up one of the tries
  body_hash  bytea not null,                     -- sha256
  status     smallint,
  fault      text,
  ms         integer,
  answer     text check (char_length(answer) <= 200),
  foreign key (subject, endpoint, sequence) references delivery);
create index attempt_of_delivery on delivery_attempt (subject, endpoint, sequence, id);
create index attempt_answer on delivery_attempt (at) where answer is not null;

create trigger append_only before delete or truncate on endpoint for each statement execute function forbid();
create trigger append_only before delete or truncate on delivery for each statement execute function forbid();
create trigger append_only before delete or truncate on redelivery for each statement execute function forbid();
create trigger append_only before delete or truncate on delivery_attempt for each statement execute function forbid();
create trigger kept before update on endpoint for each row when (
     (old.id, old.owner, old.wallets, old.created_at, old.signature) is distinct from (new.id, new.owner, new.wallets, new.created_at, new.signature)
  or old.state = 'deleted')
  execute function refuse_change();
create trigger kept before update on delivery for each row when (
     (old.subject, old.sequence, old.endpoint, old.position) is distinct from (new.subject, new.sequence, new.endpoint, new.position)
  or old.outcome = 'delivered' or new.outcome is null)
  execute function refuse_change();
create trigger kept before update on delivery_attempt for each row when (
     (old.id, old.subject, old.sequence, old.endpoint, old.redelivery, old.at, old.token, old.counts, old.body_hash)
       is distinct from (new.id, new.subject, new.sequence, new.endpoint, new.redelivery, new.at, new.token, new.counts, new.body_hash)
  or (old.status is not null or old.fault is not null) and (old.status, old.fault, old.ms) is distinct from (new.status, new.fault, new.ms))
  execute function refuse_change();

insert into turn (what) values ('endpoint');
grant select (id, owner, wallets, url, types, state, signature, public_key, before_until, from_position, created_at, failures, failing_since, resume_at) on endpoint to app_api;
grant select (id, owner, wallets, url, types, state, signature, public_key, before_until, from_position, created_at, failures, failing_since, warned, resume_at, probe) on endpoint to auditor;
grant select on delivery, delivery_line, redelivery, delivery_attempt to app_api, auditor;
grant select, insert (owner, wallets, url, types, signature, secret, public_key, from_position),
  update (url, types, state, secret, public_key, secret_before, before_until, from_position, failures, failing_since, warned, resume_at, probe) on endpoint to engine_owner;
grant select, insert (subject, sequence, endpoint, position), update (outcome, settled_at) on delivery to engine_owner;
grant select, insert (endpoint, subject, next_at), update (tries, next_at, token, leased_until), delete on delivery_line to engine_owner;
grant select, insert (endpoint, after_position, upto_position, position, asked_by), update (position, tries, next_at, token, leased_until, done_at) on redelivery to engine_owner;
grant select, insert (subject, sequence, endpoint, redelivery, token, counts, body_hash), update (status, fault, ms, answer) on delivery_attempt to engine_owner;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Endpoints -------------------------------------------------------------------------------------------------------------

-- A view of before would overlook an endpoint, or an event.
create function see_latest() returns void language plpgsql as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'events are owed in a read committed transaction' using errcode = '25000';
  end if;
end $$;

-- The last place that is given. Nothing is published until the end of the transaction, so every event is before or after it.
create function last_place() returns bigint language plpgsql set search_path = engine, pg_temp as $$
begin
  perform see_latest();
  perform from turn t where t.what = 'event' for update;
  return (select coalesce(max(e.position), 0) from event e where e.position is not null);
end $$;

-- The endpoint, locked, if the key with this proof manages it.
create function own_endpoint(proof bytea, of_endpoint bigint) returns endpoint
language plpgsql set search_path = engine, pg_temp as $$
declare found_it endpoint;
begin
  select p.* into found_it from caller(proof) c
    join endpoint p on p.owner = c.name and (c.wallets is null or p.wallets <@ c.wallets)
   where c.scopes @> '{endpoints:manage}' and p.id = of_endpoint and p.state <> 'deleted' for no key update of p;
  if found_it.id is null then raise exception 'this key has no endpoint %', of_endpoint using errcode = 'P0E70'; end if;
  return found_it;
end $$;

create function make_endpoint(proof bytea, at_url text, only_types text[], with_signature text, sealed bytea, public_half text) returns bigint
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
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
end $$;

-- What is null stays as it is; {} of the types: every type. Enabling forgets the failures, and everything that waits is due.
create function change_endpoint(proof bytea, of_endpoint bigint, new_url text, new_types text[], enabled boolean) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
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
end $$;

-- The secret of before signs as well for so long; 0: not at all.
create function rotate_endpoint(proof bytea, of_endpoint bigint, sealed bytea, public_half text, overlap_ms bigint) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare p endpoint := own_endpoint(proof, of_endpoint);
begin
  update endpoint set secret = sealed, public_key = public_half,
         secret_before = case when overlap_ms > 0 then p.secret end,
         before_until = case when overlap_ms > 0 then clock_timestamp() + overlap_ms * interval '1 ms' end
   where id = p.id;
end $$;

-- Nothing is sent to it any more. Its row stays, without secrets.
create function delete_endpoint(proof bytea, of_endpoint bigint) returns void
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare p endpoint := own_endpoint(proof, of_endpoint);
begin
  update endpoint set state = 'deleted', secret = '', secret_before = null, before_until = null,
         failures = 0, failing_since = null, warned = 0, resume_at = null, probe = null where id = p.id;
  update redelivery set done_at = clock_timestamp() where endpoint = p.id and done_at is null;
end $$;

-- Sends deliveries of these positions once more: the one of an event, or all since a time.
create function redeliver(proof bytea, of_endpoint bigint, after_it bigint, upto bigint) returns bigint
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare p endpoint := own_endpoint(proof, of_endpoint); who text; made bigint;
begin
  if (select count(*) from redelivery r where r.endpoint = p.id and r.done_at is null) >= 10 then
    raise exception 'endpoint % has 10 redeliveries under way', p.id using errcode = 'P0E71';
  end if;
  select c.name into who from caller(proof) c;
  insert into redelivery (endpoint, after_position, upto_position, position, asked_by) values (p.id, after_it, upto, after_it, who) returning id into made;
  perform pg_notify('event_published', '');
  return made;
end $$;

-- Sending ---------------------------------------------------------------------------------------------------------------

-- How long after its n-th failure a message is sent again; null: no more. A tenth more or less, so that not all come at once.
create function delivery_gap(n integer) returns interval language sql volatile as $$
  select (array['5 s', '5 min', '30 min', '2 h', '5 h', '10 h', '14 h', '20 h', '24 h']::interval[])[n] * (0.9 + random() * 0.2) $$;

-- How long after so many failures a failing endpoint is tried again. It is found to be well within half an hour.
create function probe_gap(n integer) returns interval language sql immutable as $$
  select (array['5 s', '30 s', '2 min', '10 min', '30 min']::interval[])[greatest(1, least(n - 2, 5))] $$;

-- The next messages, at most so many, each with an attempt on record. At most 8 of an endpoint are under way, and one while it is failing.
-- They are leased for 30 s, so that another sender has them if this one was killed.
create function claim_deliveries(at_most integer)
returns table (attempt bigint, endpoint_id bigint, owner text, url text, signature text, secret bytea, secret_before bytea, name text, body text, is_redelivery boolean)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
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
end $$;

-- Tells of an endpoint itself. It is locked.
create function tell_endpoint(p endpoint, as_type text, more jsonb) returns void
language plpgsql set search_path = engine, pg_temp as $$
declare of_subject text := 'endpoint:' || p.id; n integer;
begin
  select coalesce(max(e.sequence), 0) + 1 into n from event e where e.subject = of_subject;
  insert into event (subject, sequence, type, wallet, posting, case_id, epoch, data)
  values (of_subject, n, as_type, null, null, null, 1 + (select count(*) from restored),
          jsonb_build_object('sequence', n, 'endpoint', 'ep_' || p.id, 'failingSince', as_time(p.failing_since)) || more);
end $$;

-- The endpoint answered a message that was sent at that time, or did not. Returns an alarm to raise, or null.
-- A message from before a pause, or from before the endpoint was enabled, neither ends nor lengthens the pause, and disables nothing.
create function note_health(of_endpoint bigint, sent_at timestamptz, is_received boolean, answered integer, wait interval) returns text
language plpgsql set search_path = engine, pg_temp as $$
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
end $$;

-- What became of attempts: [{attempt, status, fault, ms, answer, waitMs}]. An attempt whose lease was lost is recorded, and moves its line no more.
create function settle_deliveries(results jsonb) returns table (endpoint_id bigint, alarm text)
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare a record; is_received boolean; is_over boolean; wait interval; said text; o redelivery; l delivery_line; waited boolean;
  attempts bigint[] := array(select (x->>'attempt')::bigint from jsonb_array_elements(results) x);
begin
  -- Endpoints first, as whoever changes one; then lines, in the order of publishing.
  perform from endpoint x
    where x.id in (select t.endpoint from jsonb_to_recordset(results) r(attempt bigint, status smallint) join delivery_attempt t on t.id = r.attempt
                    where t.id = any (attempts) and (r.status not between 200 and 299 or r.status is null or x.failures > 0)) order by x.id for no key update;
  for a in
    select t.id, t.token, t.at, t.subject, t.sequence, t.endpoint, t.redelivery, t.counts, r.status, r.fault, r.ms, r.answer, r."waitMs" as wait_ms
      from jsonb_to_recordset(results) r(attempt bigint, status smallint, fault text, ms integer, answer text, "waitMs" bigint)
      join delivery_attempt t on t.id = r.attempt
     where t.id = any (attempts) and t.status is null and t.fault is null
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
end $$;

-- What endpoints answered is kept for a week; the lines of a deleted endpoint go at once. Returns how many, of what was more.
create function forget_answers(older_than interval, at_most integer) returns integer
language plpgsql volatile security definer set search_path = engine, pg_temp set jit = off as $$
declare forgotten integer; gone integer;
begin
  update delivery_attempt set answer = null
   where id = any (array(select t.id from delivery_attempt t where t.answer is not null and t.at < clock_timestamp() - greatest(older_than, interval '7 days')
                          order by t.at limit at_most for update skip locked));
  get diagnostics forgotten = row_count;
  delete from delivery_line where ctid = any (array(select l.ctid from endpoint p join delivery_line l on l.endpoint = p.id where p.state = 'deleted' limit at_most for update of l skip locked));
  get diagnostics gone = row_count;
  return greatest(forgotten, gone);
end $$;

-- How long the oldest message of an endpoint that is well waits for a sender.
create function deliveries_late() returns interval
language sql stable security definer set search_path = engine, pg_temp set jit = off as $$
  select max(statement_timestamp() - f.next_at) from endpoint p
   cross join lateral (select l.next_at from delivery_line l where l.endpoint = p.id and l.next_at <= statement_timestamp() order by l.next_at limit 1) f
   where p.state = 'on' and p.failures = 0 and (p.resume_at is null or p.resume_at < statement_timestamp()) $$;

-- Publishing owes each event to the endpoints that want it. A line that is there is locked, so that a sender that ends it at this
-- moment does not overlook the event.
create function owe_events(after_position bigint) returns void
language plpgsql volatile set search_path = engine, pg_temp as $$
begin
  perform see_latest();
  if not exists (select from endpoint where state <> 'deleted') then return; end if;
  with owed as (
  insert into delivery (subject, sequence, endpoint, position)
  select e.subject, e.sequence, p.id, e.position
    from event e join endpoint p on p.state <> 'deleted' and p.from_position < e.position and (p.types is null or e.type = any (p.types))
                                and (p.wallets is null or e.wallet = any (p.wallets)) and e.subject <> 'endpoint:' || p.id
                                and (e.subject not like 'endpoint:%' or exists (select from endpoint s where e.subject = 'endpoint:' || s.id and s.owner = p.owner))
   where e.position > after_position returning endpoint, subject)
  insert into delivery_line (endpoint, subject, next_at)
  select o.endpoint, o.subject, statement_timestamp() from owed o group by o.endpoint, o.subject order by o.endpoint, o.subject
  on conflict (endpoint, subject) do update set next_at = delivery_line.next_at;
end $$;
select pg_temp.change('publish_events(integer)', $was$  if published > 0 then perform pg_notify$was$, $becomes$  if published > 0 then
    perform owe_events((select max(e.position) from event e where e.position is not null) - published);
    perform pg_notify$becomes$);
select pg_temp.change('publish_events(integer)', $was$('event_published', ''); end if;$was$, $becomes$('event_published', '');
  end if;$becomes$);

revoke execute on function see_latest(), last_place(), own_endpoint(bytea, bigint), make_endpoint(bytea, text, text[], text, bytea, text), change_endpoint(bytea, bigint, text, text[], boolean),
  rotate_endpoint(bytea, bigint, bytea, text, bigint), delete_endpoint(bytea, bigint), redeliver(bytea, bigint, bigint, bigint), delivery_gap(integer), probe_gap(integer),
  claim_deliveries(integer), tell_endpoint(endpoint, text, jsonb), note_health(bigint, timestamptz, boolean, integer, interval), settle_deliveries(jsonb),
  forget_answers(interval, integer), deliveries_late(), owe_events(bigint) from public;
grant execute on function make_endpoint(bytea, text, text[], text, bytea, text), change_endpoint(bytea, bigint, text, text[], boolean),
  rotate_endpoint(bytea, bigint, bytea, text, bigint), delete_endpoint(bytea, bigint), redeliver(bytea, bigint, bigint, bigint) to app_api;
grant execute on function claim_deliveries(integer), settle_deliveries(jsonb), forget_answers(interval, integer) to app_notifier;
grant execute on function deliveries_late() to app_worker;
reset role;
revoke create on schema engine from engine_owner;
