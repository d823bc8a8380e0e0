-- The engine's own tables; the books are in 002-ledger.sql.
create schema if not exists engine;
set local search_path = engine;

create table deposit (
  external_order_number text primary key check (external_order_number ~ '^[A-Za-z0-9_-]{1,64}$'),
  wallet            text not null check (wallet ~ '^[A-Za-z0-9_-]{1,64}$'),
  buy_coin_mode     text not null check (buy_coin_mode in ('MtcAmount', 'PaymentPrice')),
  mtc_amount        numeric check (mtc_amount > 0),
  total_price       numeric check (total_price > 0),
  currency_code     text not null check (currency_code in ('CNY', 'HKD', 'TWD')),
  support_language  text not null check (support_language in ('en', 'zh_CN', 'zh_TW')),
  payer_name        bytea,                       -- AES-256-GCM; null once shredded
  payer_name_key    text,
  fingerprint       bytea not null,              -- HMAC of the canonical parameters
  settings          jsonb not null,              -- frozen: bands, windows, late policy, review limit
  state             text not null default 'PLACING' check (state in (
                      'PLACING', 'PLACEMENT_REFUSED', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'EXPIRED',
                      'CREDITING', 'IN_REVIEW', 'CREDITED', 'REJECTED', 'UNPAID')),
  late              boolean not null default false,
  redirect_url      text,
  advertisement_code text,
  bound_callback    bigint unique,               -- the one payment this deposit owns
  posting_id        bigint unique,
  review_reason     text,
  refusal           text,                        -- provider statusCode, NOT_SENT or TOO_LATE
  created_at        timestamptz not null default clock_timestamp(),
  placed_at         timestamptz,
  expires_at        timestamptz,
  listening_until   timestamptz,
  closed_at         timestamptz,
  check ((buy_coin_mode = 'MtcAmount') = (mtc_amount is not null) and (buy_coin_mode = 'PaymentPrice') = (total_price is not null)));
create index deposit_by_age    on deposit (created_at desc, external_order_number desc);
create index deposit_by_wallet on deposit (wallet, created_at desc, external_order_number desc);
create index deposit_by_state  on deposit (state, created_at desc, external_order_number desc);
create index deposit_unstarted on deposit (created_at) where state = 'PLACING';

create table placement_attempt (
  external_order_number text not null references deposit,
  n          smallint not null,                  -- n + 1 only after n is 'not_sent'
  started_at timestamptz not null default clock_timestamp(),
  deadline   timestamptz not null,
  outcome    text check (outcome in ('placed', 'refused', 'not_sent', 'unknown', 'closed')),
  answer     jsonb,                              -- kept even when it came after 'unknown'
  primary key (external_order_number, n));

create table callback (                          -- the inbox: authentic messages only
  id            bigint generated always as identity primary key,
  external_order_number text not null,           -- as claimed
  deposit       text references deposit,         -- null: unknown to us
  transaction_code text,
  content_hash  bytea not null check (length(content_hash) = 32),
  data          jsonb,                           -- decimals as strings; null when unreadable
  raw           bytea not null check (length(raw) <= 16384),
  receipt       text not null check (receipt in (
                  'first', 'other_content', 'stale', 'ahead', 'reflected', 'unreadable', 'unknown_order', 'final')),
  review_reason text check ((review_reason is null) = (receipt = 'first')),
  received_at   timestamptz not null default clock_timestamp(),
  attempts      integer not null default 1,
  last_at       timestamptz not null default clock_timestamp(),
  acked         boolean not null,
  raised_at     timestamptz,
  outcome       text,                            -- posting:<id> | review:<workflow id>; null until there is an effect
  unique (external_order_number, content_hash));
create index callback_to_raise on callback (received_at) where outcome is null;
create index callback_by_deposit on callback (deposit);
create index callback_by_code on callback (transaction_code);
alter table deposit add foreign key (bound_callback) references callback;

create table callback_stamp (                    -- one-time binding of what the signature covers to what it does not
  key_id text not null, timestamp_ms bigint not null, external_order_number text not null, content_hash bytea not null,
  primary key (key_id, timestamp_ms, external_order_number));

create table own_stamp (                         -- what we signed ourselves: never a callback credential by itself
  key_id text not null, timestamp_ms bigint not null,
  reflected_at timestamptz,                      -- first time it came back as a callback
  primary key (key_id, timestamp_ms));

create table provider_clock (
  id boolean primary key default true check (id), skew_ms bigint not null, at timestamptz not null default clock_timestamp());

create table decision (                          -- append-only; the operator is the key's name
  id bigint generated always as identity primary key,
  callback bigint not null references callback,
  step text not null check (step in ('propose', 'confirm', 'withdraw')),
  decision text check (decision in ('credit', 'reject')),
  reason text not null check (length(reason) between 3 and 1000),
  operator text not null,
  at timestamptz not null default clock_timestamp());

create table outgoing (                          -- written with the effect it tells of; delivered later, in any order
  id text primary key, kind text not null, external_order_number text not null, body jsonb not null,
  created_at timestamptz not null default clock_timestamp(), delivered_at timestamptz);

create table api_key (
  name text primary key,
  hash bytea not null unique,                    -- sha256 of the key; the key itself is stored nowhere
  scopes text[] not null,
  wallets text[],
  created_at timestamptz not null default clock_timestamp(), expires_at timestamptz, revoked_at timestamptz);

create function forbid() returns trigger language plpgsql as
$$ begin raise exception 'engine.% is append-only', tg_table_name using errcode = 'P0E01'; end $$;
create trigger append_only before update or delete or truncate on decision for each statement execute function forbid();
create trigger append_only before update or delete or truncate on callback_stamp for each statement execute function forbid();
