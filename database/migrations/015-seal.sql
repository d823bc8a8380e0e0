-- The API seals each inbox row that it writes, with a key that is in no database: a row that anybody else has put there
-- moves no money, whoever's login it was, the owner's too (docs/decisions/0013-sealed-inbox.md).
set local search_path = engine;

alter table callback
  add column seal      bytea,                            -- Ed25519 over config/inbox-seal.ts
  add column seal_key  text,                             -- which key, by its name
  add column sealed_ms bigint,                           -- this database's clock, as the API read it
  add constraint whole_seal check (num_nulls(seal, seal_key, sealed_ms) in (0, 3)) not valid;

drop trigger facts on callback;
create trigger facts before update of id, external_order_number, transaction_code, content_hash, data, raw, seal, seal_key, sealed_ms
  on callback for each row when (
  (old.id, old.external_order_number, old.transaction_code, old.content_hash, old.data, old.raw, old.seal, old.seal_key, old.sealed_ms)
  is distinct from
  (new.id, new.external_order_number, new.transaction_code, new.content_hash, new.data, new.raw, new.seal, new.seal_key, new.sealed_ms))
  execute function keep_facts();

-- Up to which row none needs a seal: those that were there when seals began. The largest counts. Nobody but the owner
-- writes it, and INBOX_SEAL_EPOCH keeps the owner from moving it.
create table seal_epoch (
  callback bigint primary key,
  at       timestamptz not null default clock_timestamp());
insert into seal_epoch (callback) select coalesce(max(id), 0) from callback;
create trigger append_only before update or delete or truncate on seal_epoch for each statement execute function forbid();

grant insert (seal, seal_key, sealed_ms) on callback to app_api;
grant select on seal_epoch to app_api, app_worker, app_decisions, auditor;
-- A seal covers the stamp of the first message.
grant select on callback_attempt to app_worker;
