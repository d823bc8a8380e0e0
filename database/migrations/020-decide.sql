-- What people decided is carried out by the database itself: whoever may call it names a case and two rows of steps, and
-- says nothing about money (docs/database-roles.md#decisions). Nothing is taken away here, so that older workers go on.
do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ledger_owner to %I', current_user);
  end if;
end $$;
set local role ledger_owner;
grant execute on function
  ledger.park(jsonb),
  ledger.release(text, bigint, text, text, numeric, text, text, text, bigint, numeric),
  ledger.reverse(text, bigint, boolean, text, text, text, bigint),
  ledger.give_back(text, bigint, text, text, text) to engine_owner;
reset role;
grant update (bound_callback, closed_at, late, posting_id, settled_by, state) on engine.deposit to engine_owner;
grant update (closed_at, decided_by, decision, parked, posting, proposal) on engine.review_case to engine_owner;
grant insert on engine.carried, engine.outgoing to engine_owner;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- A case, the callback and the deposit it is about, the proposal that waits, and where its money is now: the tip of the
-- chain that begins with the case's own code. A callback that could not be read has none of its own: its cases name the
-- posting that brought its money in (parked).
create view case_now as
  select v.workflow_id, v.held_by, v.callback, v.reason, v.detail, v.opened_by, v.opened_at, v.doubted, v.parked, v.closed_at,
         v.decision, v.decided_by, v.posting, v.proposal,
         c.external_order_number, c.content_hash, c.transaction_code, c.data->>'transactionAmount' as amount,
         c.data->>'currencyCode' as currency_code, c.data->>'paymentPrice' as payment_price, c.received_at,
         d.external_order_number as deposit, d.wallet, coalesce(d.settings->>'reviewLimit', '0') as review_limit,
         coalesce(d.bound_callback = c.id, false) as bound,
         p.decision as proposed, p.reason as proposal_reason, p.operator, p.keep, p.to_deposit, p.beside, p.only_ordered, p.signature, p.at as proposed_at,
         case when m.tip is null then case when c.data->>'transactionAmount' is null then 'unreadable' else 'nothing' end
              when m.own is not true then 'elsewhere'
              when m.place like 'wallet:%' then 'credited'
              when m.place like 'clearing:%' then 'returned'
              when m.taken_out then 'withdrawn' else 'parked' end as standing,
         case when m.own then m.tip end as tip,       -- null: nothing is booked, or it is another case's
         m.back_to,                                   -- where undoing the tip puts the money; null: in no wallet
         (select t.id from ledger.slot s join ledger.transaction t on t.key = s.key
           where s.deposit = d.external_order_number) as newest_credit
    from engine.review_case v
    join engine.callback c on c.id = v.callback
    left join engine.deposit d on d.external_order_number = c.external_order_number
    left join engine.decision p on p.id = v.proposal
    left join lateral (
      select t.id as tip, ledger.place(t) as place, t.amount < 0 as taken_out,
             case when t.amount < 0 and t.credit_code like 'wallet:%' then t.deposit end as back_to,
             exists (select from engine.review_case o where o.workflow_id = r.workflow_id and o.callback = c.id)
               or (r.workflow_id = 'deposit:' || d.external_order_number and d.bound_callback = c.id) as own
        from ledger.transaction r cross join lateral ledger.tip(r.id) t
       where r.id = coalesce(
               (select k.id from ledger.transaction k where k.provider = 'mtpay' and k.provider_code = c.transaction_code),
               (select ledger.root(o.parked) from engine.review_case o
                 where o.callback = c.id and o.parked is not null order by o.opened_at limit 1))) m on true;
grant select on case_now to app_api, app_decisions;

-- The rules, once more as domain/decision.ts has them; a test compares the two for every input -----------------------------

-- Whether a decision puts money into a wallet.
create function decision_enters(standing text, decision text) returns boolean language sql immutable as $$
  select decision in ('credit', 'restore') or (decision = 'reject' and standing = 'withdrawn') $$;

-- Whether one person's word is enough; null is no.
create function one_suffices(amount text, review_limit text, beside bigint) returns boolean language sql immutable as $$
  select beside is null and amount::numeric > 0 and amount::numeric <= review_limit::numeric $$;

-- Between 3 and 1000 characters that can be printed, counted as UTF-16 counts them.
create function is_reason(reason text) returns boolean language sql immutable as $$
  select length(w.trimmed) + length(regexp_replace(w.trimmed, '[^\U00010000-\U0010ffff]', '', 'g')) >= 3
     and length(reason) + length(regexp_replace(reason, '[^\U00010000-\U0010ffff]', '', 'g')) <= 1000
     and reason !~ '[\u0001-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]'
    from (select btrim(reason, E'\t\n\u000b\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff')) w(trimmed) $$;

-- Why nothing can be decided so; null: it can.
create function decision_fault(standing text, deposit text, decision text, reason text, keep boolean, to_deposit text, beside bigint, only_ordered boolean)
returns text language sql immutable as $$
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
    when decision = 'credit' and to_deposit is null and (standing = 'withdrawn' or deposit is null) then 'deposit_required' end $$;

-- What is asked and what is answered ---------------------------------------------------------------------------------------

create type refused as (refusal text, detail text);

create function credited_meanwhile(stands bigint) returns refused language sql immutable as $$
  select ('credited_meanwhile', coalesce('posting ' || stands || ' stands in the wallet of this deposit: two people may credit beside it, naming it',
                                         'the credit that the proposal names does not stand any more'))::engine.refused $$;

-- Two rows of this very case, by two people where it takes two, and nobody has taken the proposal back; or why not.
create function decision_refused(it case_now, p decision, k decision) returns refused language plpgsql stable as $$
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
end $$;

-- Money that is to go to a wallet and is not booked yet goes into suspense; or why not.
create function decision_bring_in(it case_now, p decision) returns refused language plpgsql as $$
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
end $$;

-- The posting of a decision: one, under a key that names what it follows; none where no money moves.
create function decision_move(it case_now, p decision, actor text, out outcome text, out id bigint) language plpgsql as $$
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
end $$;

-- The word that a deposit was credited, the same whoever credited. Ids of postings are given out again after a restore and
-- merchants remember what they have heard: the time is part of the name.
create function decision_tell_credited(of_deposit text) returns void language sql as $$
  insert into engine.outgoing (id, kind, external_order_number, body)
  select 'deposit.credited:' || t.id || ':' || (extract(epoch from t.posted_at) * 1000000)::bigint, 'deposit.credited', d.external_order_number,
         jsonb_build_object('externalOrderNumber', d.external_order_number, 'wallet', d.wallet,
           'amount', trim_scale(t.amount - t.fee - coalesce(t.rest, 0))::text, 'transactionCode', ledger.code(t.id), 'postingId', t.id::text,
           'late', d.late, 'creditedAt', t.posted_at)
    from engine.deposit d join ledger.transaction t on t.id = d.posting_id
   where d.external_order_number = of_deposit
  on conflict do nothing $$;

-- The deposit's state where its payment was decided about, the case's end, and the word to the outside. Answers what the
-- deposit was credited with instead, when its own payment was not.
create function decision_conclude(it case_now, p decision, actor text, posted bigint) returns jsonb language plpgsql as $$
declare
  into_deposit text := case when p.decision = 'credit' then coalesce(p.to_deposit, it.deposit) when posted is not null then it.back_to end;
  -- The deposit's own workflow holds its own case, and hears of a decision there by itself.
  by_case text := case when it.workflow_id <> 'deposit:' || it.deposit then it.workflow_id end;
  settled jsonb; stated stated_facts;
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
      perform decision_tell_credited(it.deposit);
    end if;
  elsif it.opened_by is null and (it.bound or it.reason = 'RESTORED') then
    -- The deposit's own payment was not credited to it; another of it may have been. What a restore left without a
    -- workflow is nobody else's to end, unless a payment came meanwhile. A deposit that is over keeps its state.
    update deposit d set state = case when it.newest_credit is null then 'REJECTED' else 'CREDITED' end,
           posting_id = coalesce(d.posting_id, it.newest_credit), closed_at = clock_timestamp(), settled_by = by_case
     where d.external_order_number = it.deposit and d.state not in ('PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID') and (it.bound or d.bound_callback is null);
    if found and it.newest_credit is not null then
      settled := jsonb_build_object('postingId', it.newest_credit::text, 'transactionCode', ledger.code(it.newest_credit));
      perform decision_tell_credited(it.deposit);
    end if;
  end if;
  update review_case v set closed_at = clock_timestamp(), decision = p.decision, decided_by = actor, posting = posted, proposal = null
   where v.workflow_id = it.workflow_id;
  if p.decision = 'credit' and it.amount is null then select * into stated from stated_facts f where f.decision = p.id; end if;
  insert into outgoing (id, kind, external_order_number, body)
  values ('review.decided:' || it.workflow_id, 'review.decided', it.external_order_number, jsonb_build_object(
    'externalOrderNumber', it.external_order_number, 'case', it.workflow_id, 'decision', p.decision,
    'amount', coalesce(it.amount, trim_scale(stated.amount)::text), 'transactionCode', coalesce(it.transaction_code, stated.transaction_code),
    'postingId', posted::text))
  on conflict do nothing;
  return settled;
end $$;

-- One transaction of a confirmed decision: 'bring in', 'move', or 'refuse' for the reason given ('refuse as unproven'). Null: goes on in the next.
create function carry_out(of_case text, proposal_id bigint, confirmation_id bigint, stage text, doubt text) returns jsonb language plpgsql as $$
declare
  it case_now; after case_now; p decision; k decision; before carried; no refused;
  actor text; outcome text; posted bigint; settled jsonb; answer jsonb;
begin
  -- 0. What was committed while the locks were waited for has to be seen, a withdrawal above all.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a decision is carried out in a read committed transaction' using errcode = '25000'; end if;
  -- 1. Locks: the case, then the deposits it can touch by number (docs/ledger.md#locks).
  perform from review_case v where v.workflow_id = of_case for no key update;
  perform from deposit d where d.external_order_number in (
      select c.external_order_number from review_case v join callback c on c.id = v.callback where v.workflow_id = of_case
      union select s.to_deposit from decision s where s.id = proposal_id and s.workflow_id = of_case)
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
end $$;

-- The doors: they are told which case and which two rows, and nothing else that matters -----------------------------------

-- First transaction of a confirmed decision. Null: goes on with decide(). `doubt`: why its inbox row is nothing to credit by.
create function bring_in(of_case text, proposal_id bigint, confirmation_id bigint, doubt text default null) returns jsonb
language plpgsql security definer set search_path = engine, pg_temp set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$ begin return carry_out(of_case, proposal_id, confirmation_id, 'bring in', left(doubt, 200)); end $$;

-- Second transaction: one posting, the deposit, the case, and the word to the outside.
create function decide(of_case text, proposal_id bigint, confirmation_id bigint) returns jsonb
language plpgsql security definer set search_path = engine, pg_temp set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$ begin return carry_out(of_case, proposal_id, confirmation_id, 'move', null); end $$;

-- A decision that the database refused for its own sake, in a transaction that is gone, or that nobody signed.
create function record_refused(of_case text, proposal_id bigint, confirmation_id bigint, why text, refusal text) returns jsonb
language plpgsql security definer set search_path = engine, pg_temp set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$ begin return carry_out(of_case, proposal_id, confirmation_id, case refusal when 'unproven' then 'refuse as unproven' else 'refuse' end,
                          coalesce(left(why, 200), 'refused')); end $$;

revoke execute on function decision_enters(text, text), one_suffices(text, text, bigint), is_reason(text),
  decision_fault(text, text, text, text, boolean, text, bigint, boolean), credited_meanwhile(bigint),
  decision_refused(case_now, decision, decision), decision_bring_in(case_now, decision), decision_move(case_now, decision, text),
  decision_tell_credited(text), decision_conclude(case_now, decision, text, bigint), carry_out(text, bigint, bigint, text, text),
  bring_in(text, bigint, bigint, text), decide(text, bigint, bigint), record_refused(text, bigint, bigint, text, text) from public;
grant execute on function bring_in(text, bigint, bigint, text), decide(text, bigint, bigint), record_refused(text, bigint, bigint, text, text) to app_decisions;
reset role;
revoke create on schema engine from engine_owner;
