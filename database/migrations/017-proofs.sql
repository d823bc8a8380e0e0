-- Who decided. A person's step takes the proof of the person's own key: sha256 of the key, which no role of a process can
-- read anywhere, because the row holds sha256 of the proof. The login of the API alone, or a backup, speaks for nobody.
set local search_path = engine;

-- An API of before finds its callers by `hash`, and issues nothing but that; both columns stand until 021-contract.sql
-- drops the first. Whatever issues keys until then writes both.
alter table api_key add column proof_hash bytea;
update api_key set proof_hash = sha256(hash);
alter table api_key alter column proof_hash set not null, add constraint api_key_proof unique (proof_hash);

create function prove_api_key() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as
$$ begin new.proof_hash := coalesce(new.proof_hash, sha256(new.hash)); return new; end $$;
create trigger prove before insert on api_key for each row execute function prove_api_key();

create or replace function keep_api_key() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (new.id, new.name, new.proof_hash, new.scopes, new.wallets) is distinct from (old.id, old.name, old.proof_hash, old.scopes, old.wallets)
     or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) then
    raise exception 'an API key is revoked and made anew, never changed' using errcode = 'P0E14';
  end if;
  return new;
end $$;

-- By the owner (`npm run keys`) alone. `lives_ms` null: until it is revoked.
create function issue_key(proof bytea, of_name text, may text[], only_wallets text[], lives_ms bigint) returns bigint
language sql set search_path = engine, pg_temp as $$
  insert into api_key (name, hash, proof_hash, scopes, wallets, expires_at)
  values (of_name, proof, sha256(proof), may, only_wallets, clock_timestamp() + lives_ms * interval '1 millisecond') returning id $$;
revoke execute on function issue_key(bytea, text, text[], text[], bigint) from public;

alter table decision
  add column key_id     bigint references api_key (id), -- the key that took the step; null: from before there were proofs
  add column signature  bytea,                          -- Ed25519 over domain/signed-step.ts, by the operator's own device
  add column signer_key text,                           -- which key, by its name
  add column nonce      bytea,
  add constraint whole_signature check (num_nulls(signature, signer_key, nonce) in (0, 3)) not valid,
  add constraint sizes_of_signature check (length(signature) = 64 and length(nonce) = 16) not valid;
-- A signed step is taken once.
create unique index decision_nonce on decision (nonce) where nonce is not null;

grant select (id, name, proof_hash, scopes, wallets, expires_at, revoked_at) on api_key to engine_owner;
grant insert (callback, workflow_id, step, decision, keep, to_deposit, beside, only_ordered, proposal, reason, operator, key_id,
              signature, signer_key, nonce) on decision to engine_owner;
grant insert on stated_facts to engine_owner;
grant insert (decision, refusal) on refused_step to engine_owner;
grant insert (workflow_id, callback, reason, detail, opened_by, doubted), update (proposal) on review_case to engine_owner;

grant create on schema engine to engine_owner;
set local role engine_owner;
set local search_path = engine, pg_temp;

-- Who calls. Nobody, for a key that is unknown, revoked or expired.
create function caller(proof bytea) returns table (key_id text, name text, scopes text[], wallets text[])
language plpgsql stable security definer set search_path = engine, pg_temp set jit = off as $$
begin
  return query select 'K' || k.id, k.name, k.scopes, k.wallets from api_key k
   where k.proof_hash = sha256(proof) and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp());
end $$;

-- The person who takes a step, for the functions below.
create function operator_by(proof bytea, out key_id bigint, out name text, out wallets text[])
language plpgsql stable set search_path = engine, pg_temp as $$
begin
  select k.id, k.name, k.wallets into key_id, name, wallets from api_key k
   where k.proof_hash = sha256(proof) and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp())
     and k.scopes @> '{reviews:decide}';
  if key_id is null then raise exception 'no living key that may decide' using errcode = 'P0E35'; end if;
end $$;

-- Writes a step down in the name of whoever's key this is; `admit_step` locks the case and says whether it comes in time.
create function take_step(
  proof bytea, of_case text, step text, decision text, keep boolean, to_deposit text, beside bigint, only_ordered boolean,
  of_proposal bigint, reason text,
  transaction_code text, amount numeric, currency_code text, payment_price numeric, statement_line text,
  signature bytea, signer_key text, nonce bytea)
returns table (id bigint, uid uuid)
language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
declare person record; about record;
begin
  select o.key_id, o.name, o.wallets into person from operator_by(proof) o;
  select v.callback, coalesce(d.wallet, '') as wallet into about
    from review_case v join callback c on c.id = v.callback left join deposit d on d.external_order_number = c.external_order_number
   where v.workflow_id = of_case;
  if about.callback is null then raise exception 'there is no case %', of_case using errcode = 'P0E30'; end if;
  if not about.wallet = any (person.wallets) or (take_step.to_deposit is not null and not exists (
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
end $$;

-- Marks a step that the case's workflow did not take, as its own key asks. True: it is a withdrawal, and a decision that
-- was under way has seen it, so it counts; under the case's lock, so that it is the one or the other.
create function refuse_step(proof bytea, of_step bigint, refusal text) returns boolean
language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
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
end $$;

-- What is doubted: the newest credit of a deposit that stands (or where the one it had is now), a posting of any chain, or
-- the decision of a closed case. `posting`: the tip of its chain; null: nothing was ever booked. `wallet`: of the deposit that
-- the callback claims. `cases`: how often this callback's money has been in doubt.
create function doubtful(of_order text, of_posting bigint, of_case text)
returns table (posting bigint, callback bigint, uid uuid, wallet text, cases bigint)
language plpgsql stable set search_path = engine, pg_temp as $$
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
end $$;

-- Opens a case about money that a person doubts, in the name of whoever's key this is, unless one is open about the same
-- callback. Where the money is, is read again once the row is there: what another case has moved until then is seen, and from
-- then on only this one moves it. One of the three is given, the others are null.
create function open_doubt(proof bytea, of_order text, of_posting bigint, of_case text, detail text)
returns table (callback bigint, opened boolean)
language plpgsql security definer set search_path = engine, pg_temp set jit = off as $$
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
end $$;

revoke execute on function caller(bytea), operator_by(bytea), refuse_step(bytea, bigint, text), doubtful(text, bigint, text),
  take_step(bytea, text, text, text, boolean, text, bigint, boolean, bigint, text, text, numeric, text, numeric, text, bytea, text, bytea),
  open_doubt(bytea, text, bigint, text, text) from public;
grant execute on function caller(bytea), refuse_step(bytea, bigint, text), open_doubt(bytea, text, bigint, text, text),
  take_step(bytea, text, text, text, boolean, text, bigint, boolean, bigint, text, text, numeric, text, numeric, text, bytea, text, bytea) to app_api;

reset role;
revoke create on schema engine from engine_owner;
