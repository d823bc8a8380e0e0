-- One payment of a deposit at a time lies in a wallet, whoever put it there; a further one only beside it, by two people
-- who name the newest they were shown. Kept by a primary key, whatever the callers lock or read (docs/ledger.md#slots).
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
  end if;
end $$;
set local role ledger_owner;
set local search_path = ledger, pg_temp;

alter table transaction
  add column beside bigint references transaction,   -- the newest credit of the deposit that the two people were shown
  add column rest quantity,                          -- what of the amount stays in suspense, as part of this posting
  add constraint rest_of_amount check (rest is null or (kind in ('release', 'reversal') and rest * amount > 0 and abs(fee + rest) < abs(amount))),
  add constraint beside_by_two check (beside is null or (kind in ('release', 'reversal') and actor like '%+%'));

-- A row while a payment of the deposit lies in a wallet; `key` is that of the newest such posting. Written by post() only.
create table slot (deposit ident primary key, key ident not null unique);

-- Which chain a posting continues: the posting that brought its money in. A first posting is its own root and has no row.
create table lineage (
  transaction_id bigint primary key references transaction,
  root           bigint not null references transaction);
create index lineage_by_root on lineage (root, transaction_id);
create trigger append_only before update or delete or truncate on lineage for each statement execute function forbid();
create trigger append_only before truncate on slot for each statement execute function forbid();

-- Deposits that had more than one payment in wallets before there were slots: reported by every audit.
create table double_at_migration (deposit ident primary key, postings bigint[] not null);
create trigger append_only before update or delete or truncate on double_at_migration for each statement execute function forbid();

-- Machine credits have an index of their own (one_automatic_credit).
create index transaction_by_deposit on transaction (deposit, id) where kind in ('release', 'reversal');

-- The wallet gets what is neither fee nor rest.
create or replace function legs(t transaction) returns table (line smallint, code text, amount numeric) language sql immutable as $$
  select v.line::smallint, v.code, v.amount
    from (values (1, t.debit_code::text, t.amount::numeric),
                 (2, t.credit_code::text, t.fee + coalesce(t.rest, 0) - t.amount),
                 (3, 'fees', -t.fee),
                 (4, 'suspense:' || t.provider, -t.rest)) v(line, code, amount)
   where v.amount <> 0 $$;

-- Facts to hash: what is null is left out at the end, so that every older block keeps its hash.
create or replace function line(t transaction) returns text language sql stable as $$
  select concat_ws('|', t.id, t.key, t.kind, coalesce(t.deposit, ''), t.provider, coalesce(t.provider_code, ''),
    t.debit_code, t.credit_code, trim_scale(t.amount), trim_scale(t.fee), coalesce(t.fiat, ''),
    coalesce(trim_scale(t.fiat_amount)::text, ''), coalesce(trim_scale(t.unit_price)::text, ''), coalesce(t.origin::text, ''),
    t.workflow_id, coalesce(t.actor, ''), coalesce(encode(sha256(convert_to(t.reason, 'UTF8')), 'hex'), ''),
    (extract(epoch from t.posted_at) * 1000000)::bigint, t.beside, 'rest:' || trim_scale(t.rest)) $$;

-- Chains ----------------------------------------------------------------------------------------------------------------

create function root(of_id bigint) returns bigint language sql stable set search_path = ledger, pg_temp as $$
  select coalesce((select l.root from lineage l where l.transaction_id = of_id), of_id) $$;

-- The provider's name of the payment that a posting moves. Also for the worker, which may not read the books.
create function code(of_id bigint) returns text language sql stable security definer set search_path = ledger, pg_temp as $$
  select r.provider_code from transaction r where r.id = root(of_id) $$;

-- The newest posting of a chain, which says where its money is: place(tip).
create function tip(of_root bigint) returns transaction language sql stable set search_path = ledger, pg_temp as $$
  select t from transaction t
   where t.id = coalesce((select max(l.transaction_id) from lineage l where l.root = of_root), of_root) $$;

-- Where a posting left the money: the code of a wallet, suspense, or clearing (back at the provider).
create function place(t transaction) returns text language sql immutable as $$
  select case when t.amount > 0 then t.credit_code else t.debit_code end $$;

-- What of a deposit lies in wallets: postings into a wallet that nothing has taken out since.
create function standing(of_deposit text) returns setof transaction language sql stable set search_path = ledger, pg_temp as $$
  select t.* from transaction t
   where t.deposit = of_deposit and t.kind = 'credit' and not exists (select from transaction s where s.origin = t.id)
  union all
  select t.* from transaction t
   where t.deposit = of_deposit and t.kind in ('release', 'reversal') and t.amount > 0 and t.credit_code like 'wallet:%'
     and not exists (select from transaction s where s.origin = t.id) $$;

with recursive chain as (
  select t.id, t.id as root from transaction t
   where t.origin is null and exists (select from transaction s where s.origin = t.id)
  union all
  select t.id, c.root from chain c join transaction t on t.origin = c.id)
insert into lineage select id, root from chain where id <> root;

with stands as (
  select t.deposit, t.id, t.key from transaction t
   where t.deposit is not null and t.amount > 0 and t.credit_code like 'wallet:%'
     and not exists (select from transaction s where s.origin = t.id)),
doubles as (
  insert into double_at_migration
  select deposit, array_agg(id order by id) from stands group by deposit having count(*) > 1)
insert into slot select distinct on (deposit) deposit, key from stands order by deposit, id desc;

-- Posting ---------------------------------------------------------------------------------------------------------------

-- As before, with the slots. Lock order: slots by deposit, keys, accounts, balances by descending id, chain.
create or replace function post(rows transaction[])
returns table (ord bigint, outcome text, id bigint, posted_at timestamptz)
language plpgsql set search_path = ledger, pg_temp
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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
  perform pg_advisory_xact_lock(hashtext('ledger.block'));
  select * into head from block order by n desc limit 1;
  stamp := clock_timestamp();
  insert into block values (head.n + 1, head.hash, seal(head.n + 1, head.hash, stamp, digest), fresh, stamp);
end $$;

-- A row is built by position: two columns more.
create or replace function incoming(as_kind text, items jsonb) returns transaction[] language plpgsql stable as
$$ begin
  return (select array_agg(row(null, x.key, as_kind, x.deposit, x.provider, x.provider_code, 'clearing:' || x.provider,
                               case as_kind when 'credit' then 'wallet:' || x.wallet else 'suspense:' || x.provider end,
                               x.amount, x.fee, x.fiat, x.fiat_amount, x.unit_price, null, x.workflow_id, null, null, null, null, null)::ledger.transaction order by x.ord)
            from rows from (jsonb_to_recordset(items) as (key text, deposit text, provider text, provider_code text, wallet text, amount numeric,
                            fee numeric, fiat text, fiat_amount numeric, unit_price numeric, workflow_id text))
                 with ordinality x(key, deposit, provider, provider_code, wallet, amount, fee, fiat, fiat_amount, unit_price, workflow_id, ord));
end $$;

-- A person's decision: suspense to a wallet. from_id is whatever posting put the money into suspense; next_to is the
-- deposit's newest credit that still stands, where there is one; kept is what of the amount stays in suspense.
drop function release(text, bigint, text, text, numeric, text, text, text);
create function release(new_key text, from_id bigint, to_deposit text, to_wallet text, new_fee numeric, by_workflow text, by_actor text, why text,
                        next_to bigint default null, kept numeric default null)
returns table (outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as $$
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
end $$;

-- A person's decision: undo a posting by its mirror image, except that money out of a wallet goes where `keep` says, not
-- where it came from: into suspense (ours, in the wrong wallet) or back to the provider. A reversal can be reversed.
drop function reverse(text, bigint, boolean, text, text, text);
create function reverse(new_key text, of_id bigint, keep boolean, by_workflow text, by_actor text, why text, next_to bigint default null)
returns table (outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as $$
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
end $$;

-- A person's decision: suspense back to the provider, wherever the money was before.
create function give_back(new_key text, from_id bigint, by_workflow text, by_actor text, why text)
returns table (outcome text, id bigint, posted_at timestamptz)
language plpgsql security definer set search_path = ledger, pg_temp as $$
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
end $$;

-- Auditing --------------------------------------------------------------------------------------------------------------

-- Every row must say 0.
create or replace function audit() returns table (fault text, found bigint) language sql stable set search_path = ledger, pg_temp as $$
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
      full join lineage l using (transaction_id) where w.root is distinct from l.root) x $$;

-- Grants ----------------------------------------------------------------------------------------------------------------

grant select on slot, lineage, double_at_migration to ledger_reader;
grant execute on function code(bigint) to ledger_reader, ledger_poster;
grant execute on function root(bigint), tip(bigint), place(transaction), standing(text) to ledger_reader;
grant execute on function
  release(text, bigint, text, text, numeric, text, text, text, bigint, numeric),
  reverse(text, bigint, boolean, text, text, text, bigint),
  give_back(text, bigint, text, text, text) to ledger_decider;
reset role;
