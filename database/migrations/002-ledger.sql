-- The ledger: double entry in PostgreSQL 14 or later. Debits are positive, credits negative; the lines of a posting add
-- up to zero. The code of an account names its kind: clearing:<provider>, suspense:<provider>, wallet:<wallet>, fees.

do $$ declare name text; begin
  -- Group roles without login; 003-roles.sql makes the logins their members. Roles belong to the whole server, so two
  -- databases may create them at the same moment.
  foreach name in array array['ledger_owner', 'ledger_poster', 'ledger_decider', 'ledger_reader'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin execute format('create role %I nologin', name);
      exception when duplicate_object or unique_violation then null; end;
    end if;
  end loop;
  -- Whoever migrates without being a superuser has to be the owner for a moment.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
    execute format('grant create on database %I to ledger_owner', current_database());
  end if;
end $$;
create schema ledger authorization ledger_owner;
set local role ledger_owner;
set local search_path = ledger, pg_temp;
-- New functions are executable by PUBLIC unless told otherwise (a per-schema revoke would have no effect).
alter default privileges revoke execute on functions from public;

-- A domain over plain numeric refuses a ninth decimal; numeric(38,8) would round it away silently. NaN and infinities fail too.
create domain quantity as numeric check (scale(trim_scale(value)) <= 8 and abs(value) < 1e20);
-- Identifiers: printable ASCII without blank and '|', so that line() below is unambiguous.
-- COLLATE "C": an operating system that changes its sort order cannot damage the unique indexes.
create domain ident as text collate "C" check (value !~ '[^!-{}~]' and octet_length(value) between 1 and 200);

create table account (
  id    bigint generated always as identity primary key,
  code  ident not null unique,
  kind  text  not null check (kind in ('asset', 'liability', 'income', 'expense')),
  asset text  not null default 'MTC');

-- One row is one posting. The facts are here; its entries are a pure function of them (legs).
create table transaction (
  id            bigint generated always as identity primary key,   -- has gaps: every duplicate burns one. block.n has none
  key           ident not null unique,                             -- business key, never expires
  kind          text  not null check (kind in ('credit', 'suspense', 'release', 'reversal')),
  deposit       ident,                                             -- externalOrderNumber; null only for money that fits no deposit
  provider      ident not null,
  provider_code ident,                                             -- the provider's transactionCode, on incoming money only
  debit_code    ident not null,
  credit_code   ident not null,
  amount        quantity not null,
  fee           quantity not null,
  fiat          text check (fiat in ('CNY', 'HKD', 'TWD')),
  fiat_amount   quantity check (fiat_amount > 0),
  unit_price    quantity check (unit_price > 0),
  origin        bigint unique references transaction,              -- what this one releases or reverses: at most one successor each
  workflow_id   ident not null,
  actor         ident,
  reason        text check (length(reason) between 1 and 1000),
  posted_at     timestamptz not null default clock_timestamp(),
  unique (provider, provider_code),
  constraint two_accounts    check (debit_code <> credit_code),
  constraint sign_of_amount  check (amount <> 0 and (amount > 0 or kind = 'reversal')),
  constraint size_of_fee     check (fee * amount >= 0 and abs(fee) < abs(amount) and (fee = 0 or kind <> 'suspense')),
  constraint credit_deposit  check (deposit is not null or kind <> 'credit'),
  constraint incoming_facts  check (kind in ('release', 'reversal') or (fiat is not null and fiat_amount is not null and unit_price is not null)),
  constraint incoming_code   check ((kind in ('credit', 'suspense')) = (provider_code is not null)),
  constraint decision_origin check ((kind in ('release', 'reversal')) = (origin is not null)),
  constraint decision_by     check (kind in ('credit', 'suspense') or (actor is not null and reason is not null)));
-- A second payment for a deposit is never credited by a machine, whatever its code and key.
create unique index one_automatic_credit on transaction (deposit) where kind = 'credit';

create table entry (
  transaction_id bigint   not null references transaction,
  line           smallint not null,
  account_id     bigint   not null references account,
  amount         quantity not null check (amount <> 0),
  primary key (transaction_id, line));
create index entry_account on entry (account_id, transaction_id) include (amount);

-- Apart from account, so that the row which foreign keys lock is never updated. Half-full pages keep updates in place.
create table balance (
  account_id bigint primary key references account,
  amount     numeric not null,
  entries    bigint  not null) with (fillfactor = 50);

-- One committed batch is one block. UNIQUE (prev) makes a fork impossible.
create table block (
  n       bigint primary key,
  prev    bytea not null unique,
  hash    bytea not null unique,
  members bigint[] not null,
  at      timestamptz not null);

-- Walls ---------------------------------------------------------------------------------------------------------------

create function forbid() returns trigger language plpgsql as
$$ begin raise exception 'ledger.% is append-only', tg_table_name using errcode = 'P0L01'; end $$;
create trigger append_only before update or delete or truncate on account     for each statement execute function forbid();
create trigger append_only before update or delete or truncate on transaction for each statement execute function forbid();
create trigger append_only before update or delete or truncate on entry       for each statement execute function forbid();
create trigger append_only before update or delete or truncate on block       for each statement execute function forbid();
create trigger append_only before delete or truncate           on balance     for each statement execute function forbid();

create function balanced() returns trigger language plpgsql set search_path = ledger, pg_temp as
$$ begin
  if exists (select from fresh group by transaction_id having sum(amount) <> 0) then
    raise exception 'unbalanced posting' using errcode = 'P0L02'; end if;
  return null;
end $$;
create trigger balanced after insert on entry referencing new table as fresh for each statement execute function balanced();

-- Facts to lines, facts to hash ---------------------------------------------------------------------------------------

-- The only place that says which lines a posting has; used to write them and to audit them.
create function legs(t transaction) returns table (line smallint, code text, amount numeric) language sql immutable as $$
  select v.line::smallint, v.code, v.amount
    from (values (1, t.debit_code::text, t.amount::numeric),
                 (2, t.credit_code::text, t.fee - t.amount),
                 (3, 'fees', -t.fee)) v(line, code, amount)
   where v.amount <> 0 $$;

-- Explicit text, not JSON: the same bytes in every version and every language. Null is the empty string (ident is never empty).
create function line(t transaction) returns text language sql stable as $$
  select concat_ws('|', t.id, t.key, t.kind, coalesce(t.deposit, ''), t.provider, coalesce(t.provider_code, ''),
    t.debit_code, t.credit_code, trim_scale(t.amount), trim_scale(t.fee), coalesce(t.fiat, ''),
    coalesce(trim_scale(t.fiat_amount)::text, ''), coalesce(trim_scale(t.unit_price)::text, ''), coalesce(t.origin::text, ''),
    t.workflow_id, coalesce(t.actor, ''), coalesce(encode(sha256(convert_to(t.reason, 'UTF8')), 'hex'), ''),
    (extract(epoch from t.posted_at) * 1000000)::bigint) $$;

-- plpgsql, here and below, because it keeps its plans; an SQL function that is not inlined is planned at every call.
create function content(ids bigint[]) returns bytea language plpgsql stable as
$$ begin return (select sha256(convert_to(string_agg(ledger.line(t), E'\n' order by t.id), 'UTF8')) from ledger.transaction t where t.id = any(ids)); end $$;

create function seal(n bigint, prev bytea, at timestamptz, content bytea) returns bytea language sql immutable as
$$ select sha256(prev || int8send(n) || int8send((extract(epoch from at) * 1000000)::bigint) || content) $$;

insert into account (code, kind) values ('fees', 'income'), ('clearing:mtpay', 'asset'), ('suspense:mtpay', 'liability');
insert into block values (0, '', sha256('genesis'), '{}', clock_timestamp());

-- Posting -------------------------------------------------------------------------------------------------------------

-- Internal: everything that moves goes through here. Several statements on purpose: under READ COMMITTED each takes a
-- new snapshot, so a caller that waited for another's key then sees that row (a single WITH statement would not).
-- Lock order, the same for all: keys sorted, accounts sorted, balances by descending id (the hot ones are the oldest),
-- chain. Whatever can be done before the hot balances are locked is done before.
create function post(rows transaction[])
returns table (ord bigint, outcome text, id bigint, posted_at timestamptz)
language plpgsql set search_path = ledger, pg_temp
-- Index lookups only (a plan cached while the tables were empty would scan them for ever), planned once per session.
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare fresh bigint[]; digest bytea; head block; stamp timestamptz;
begin
  if coalesce(cardinality(rows), 0) not between 1 and 500 then
    raise exception 'a batch holds 1 to 500 items, not %', coalesce(cardinality(rows), 0) using errcode = 'P0L03'; end if;
  -- An answer must mean "on disk", whatever the session asked for. Holds until the end of this transaction.
  if current_setting('synchronous_commit') <> 'remote_apply' then perform set_config('synchronous_commit', 'on', true); end if;

  with t as (
    insert into transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee,
                             fiat, fiat_amount, unit_price, origin, workflow_id, actor, reason)
    select key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee,
           fiat, fiat_amount, unit_price, origin, workflow_id, actor, reason
      from unnest(rows) with ordinality r order by r.key, r.ordinality
    on conflict do nothing returning id)     -- no target: every unique index counts
  select array_agg(id order by id) into fresh from t;

  -- Scalar lookups per item (LATERAL … LIMIT 1) cannot become hash joins. workflow_id, actor and reason are not facts.
  return query
  select m.ord,
         case when not m.same then 'conflict'
              when m.id = any(fresh) and row_number() over (partition by m.id, m.same order by m.ord) = 1 then 'posted'
              else 'duplicate' end,
         m.id, m.posted_at
    from (select x.ordinality as ord, coalesce(t.id, c.id) as id, coalesce(t.posted_at, c.posted_at) as posted_at,
                 t.id is not null and
                 (t.kind, t.deposit, t.provider, t.provider_code, t.debit_code, t.credit_code, t.amount, t.fee, t.fiat, t.fiat_amount, t.unit_price, t.origin)
                 is not distinct from
                 (x.kind, x.deposit, x.provider, x.provider_code, x.debit_code, x.credit_code, x.amount, x.fee, x.fiat, x.fiat_amount, x.unit_price, x.origin) as same
            from unnest(rows) with ordinality x
            left join lateral (select * from transaction t where t.key = x.key limit 1) t on true
            left join lateral (
              select c.id, c.posted_at from transaction c where t.id is null and c.provider = x.provider and c.provider_code = x.provider_code
              union all
              select c.id, c.posted_at from transaction c where t.id is null and x.kind = 'credit' and c.kind = 'credit' and c.deposit = x.deposit
              union all
              select c.id, c.posted_at from transaction c where t.id is null and c.origin = x.origin
              limit 1) c on true) m
   order by m.ord;
  if fresh is null then return; end if;

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
  perform pg_advisory_xact_lock(hashtext('ledger.block'));
  select * into head from block order by n desc limit 1;
  stamp := clock_timestamp();
  insert into block values (head.n + 1, head.hash, seal(head.n + 1, head.hash, stamp, digest), fresh, stamp);
end $$;

-- Internal: incoming money. The caller names facts; kind and accounts are decided here.
create function incoming(as_kind text, items jsonb) returns transaction[] language plpgsql stable as
$$ begin
  return (select array_agg(row(null, x.key, as_kind, x.deposit, x.provider, x.provider_code, 'clearing:' || x.provider,
                               case as_kind when 'credit' then 'wallet:' || x.wallet else 'suspense:' || x.provider end,
                               x.amount, x.fee, x.fiat, x.fiat_amount, x.unit_price, null, x.workflow_id, null, null, null)::ledger.transaction order by x.ord)
            from rows from (jsonb_to_recordset(items) as (key text, deposit text, provider text, provider_code text, wallet text, amount numeric,
                            fee numeric, fiat text, fiat_amount numeric, unit_price numeric, workflow_id text))
                 with ordinality x(key, deposit, provider, provider_code, wallet, amount, fee, fiat, fiat_amount, unit_price, workflow_id, ord));
end $$;

-- items: [{key, deposit, provider, provider_code, wallet, amount, fee, fiat, fiat_amount, unit_price, workflow_id}], amounts as strings.
-- outcome per item: posted (now) | duplicate (same facts stood already) | conflict (key, code or deposit stands with other facts);
-- id and posted_at name the posting that stands.
create function credit(items jsonb) returns table (ord bigint, outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as
$$ begin return query select * from post(incoming('credit', items)); end $$;

-- The same items for money no machine may credit (late by policy, amount out of band, second code, no such deposit);
-- wallet is ignored, fee must be 0, deposit may be missing.
create function park(items jsonb) returns table (ord bigint, outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as
$$ begin return query select * from post(incoming('suspense', items)); end $$;

-- A person's decision: suspense to a wallet. from_id is whatever posting put the money into suspense.
create function release(new_key text, from_id bigint, to_deposit text, to_wallet text, new_fee numeric, by_workflow text, by_actor text, why text)
returns table (outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as $$
#variable_conflict use_column
declare t transaction;
begin
  select * into t from transaction where id = from_id;
  if not exists (select from legs(t) l where l.code = 'suspense:' || t.provider and l.amount < 0) then
    raise exception 'posting % left nothing in suspense', from_id using errcode = 'P0L04'; end if;
  t.key := new_key;  t.kind := 'release';  t.origin := from_id;  t.provider_code := null;
  t.debit_code := 'suspense:' || t.provider;  t.credit_code := 'wallet:' || to_wallet;
  t.deposit := to_deposit;  t.amount := abs(t.amount);  t.fee := new_fee;
  t.workflow_id := by_workflow;  t.actor := by_actor;  t.reason := why;
  return query select p.outcome, p.id, p.posted_at from post(array[t]) p;
end $$;

-- A person's decision: undo a posting by its mirror image. keep = true: the money is ours but sat in the wrong wallet,
-- so it goes to suspense instead of back to the provider. A reversal can itself be reversed, once.
create function reverse(new_key text, of_id bigint, keep boolean, by_workflow text, by_actor text, why text)
returns table (outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as $$
#variable_conflict use_column
declare t transaction;
begin
  select * into t from transaction where id = of_id;
  if t.id is null then raise exception 'no posting %', of_id using errcode = 'P0L04'; end if;
  t.key := new_key;  t.kind := 'reversal';  t.origin := of_id;  t.provider_code := null;
  t.amount := -t.amount;  t.fee := -t.fee;
  if keep then t.debit_code := 'suspense:' || t.provider; end if;
  t.workflow_id := by_workflow;  t.actor := by_actor;  t.reason := why;
  return query select p.outcome, p.id, p.posted_at from post(array[t]) p;
end $$;

-- Reading and auditing ------------------------------------------------------------------------------------------------

create view trial_balance as
  select a.code, a.kind, a.asset, coalesce(b.amount, 0) as kept, coalesce(e.amount, 0) as summed,
         coalesce(b.entries, 0) as kept_entries, coalesce(e.entries, 0) as entries
    from account a
    left join balance b on b.account_id = a.id
    left join (select account_id, sum(amount) as amount, count(*) as entries from entry group by 1) e on e.account_id = a.id;

-- Cases that wait for a person.
create view suspense_open as
  select t.id, t.provider, t.deposit, t.provider_code, -l.amount as amount, t.posted_at, t.workflow_id
    from transaction t cross join lateral legs(t) l
   where l.code = 'suspense:' || t.provider and l.amount < 0
     and not exists (select from transaction s where s.origin = t.id);

-- A chain cannot see that its own tail was cut: compare the last n and hash with the copy kept outside the database.
create function verify_chain() returns table (n bigint, ok boolean) language sql stable set search_path = ledger, pg_temp as $$
  select b.n, coalesce(case when b.n = 0 then b.prev = '' and b.hash = sha256('genesis')
                            else b.n = lag(b.n) over w + 1 and b.prev = lag(b.hash) over w and b.hash = seal(b.n, b.prev, b.at, content(b.members)) end, false)
    from block b window w as (order by b.n) $$;

-- Every row must say 0.
create function audit() returns table (fault text, found bigint) language sql stable set search_path = ledger, pg_temp as $$
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
   where b.code like 'suspense:%' and -b.kept <> coalesce((select sum(o.amount) from suspense_open o where 'suspense:' || o.provider = b.code), 0) $$;

-- Grants --------------------------------------------------------------------------------------------------------------

grant usage on schema ledger to ledger_poster, ledger_decider, ledger_reader;
grant execute on function credit(jsonb), park(jsonb) to ledger_poster;
grant execute on function release(text, bigint, text, text, numeric, text, text, text), reverse(text, bigint, boolean, text, text, text) to ledger_decider;
grant select on all tables in schema ledger to ledger_reader;
grant execute on function legs(transaction), line(transaction), content(bigint[]), seal(bigint, bytea, timestamptz, bytea), verify_chain(), audit() to ledger_reader;
reset role;
