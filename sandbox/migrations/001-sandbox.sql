-- The provider's own books. Everything here belongs to the sandbox; the engine never reads it.

CREATE TABLE sandbox.access_key (
  access_key text PRIMARY KEY,
  -- In clear because HMAC needs it; printed by nothing and returned by no endpoint.
  secret_key text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);

-- Overrides made at run time; a name without a row has the value of the configuration.
CREATE TABLE sandbox.setting (
  name text PRIMARY KEY,
  value jsonb NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sandbox.buy_order (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  external_order_number text NOT NULL,
  -- 1 for the first order of a number; more only where a repeated number makes another order.
  nth integer NOT NULL CHECK (nth >= 1),
  -- The unguessable part of the checkout link.
  token text NOT NULL UNIQUE,
  access_key text NOT NULL REFERENCES sandbox.access_key,
  buy_coin_mode text NOT NULL CHECK (buy_coin_mode IN ('MtcAmount', 'PaymentPrice')),
  currency_code text NOT NULL CHECK (currency_code IN ('CNY', 'HKD', 'TWD')),
  -- numeric without a scale keeps the digits it was given: 4521.00 stays 4521.00.
  mtc_amount numeric NOT NULL CHECK (mtc_amount > 0),
  total_price numeric NOT NULL CHECK (total_price > 0),
  unit_price numeric NOT NULL CHECK (unit_price > 0),
  advertisement_code text NOT NULL,
  callback_url text NOT NULL,
  support_language text NOT NULL CHECK (support_language IN ('en', 'zh_CN', 'zh_TW')),
  payer_real_name text NOT NULL,
  state text NOT NULL DEFAULT 'WAITING' CHECK (state IN ('WAITING', 'PAID', 'RELEASED', 'CANCELLED', 'EXPIRED')),
  made_at timestamptz NOT NULL DEFAULT now(),
  pay_before timestamptz NOT NULL,
  paid_at timestamptz,
  release_at timestamptz,
  released_at timestamptz,
  UNIQUE (external_order_number, nth),
  CHECK (state <> 'PAID' OR (paid_at IS NOT NULL AND release_at IS NOT NULL)),
  CHECK (state <> 'RELEASED' OR released_at IS NOT NULL)
);
CREATE INDEX buy_order_release ON sandbox.buy_order (release_at) WHERE state = 'PAID';
CREATE INDEX buy_order_expiry ON sandbox.buy_order (pay_before) WHERE state = 'WAITING';

CREATE TABLE sandbox.transaction (
  transaction_code text PRIMARY KEY,
  order_id integer NOT NULL REFERENCES sandbox.buy_order,
  transaction_amount numeric NOT NULL,
  payment_price numeric NOT NULL,
  created_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transaction_order ON sandbox.transaction (order_id);
CREATE INDEX transaction_finished ON sandbox.transaction (finished_at);

CREATE TABLE sandbox.delivery (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id integer NOT NULL REFERENCES sandbox.buy_order,
  transaction_code text NOT NULL REFERENCES sandbox.transaction,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'ACKNOWLEDGED', 'FAILED')),
  -- Data fields this delivery tells otherwise than the transaction, each as raw JSON text.
  overrides jsonb NOT NULL DEFAULT '{}',
  -- Not sent while that delivery is pending.
  after_delivery integer REFERENCES sandbox.delivery,
  -- 0 is the first delivery, 1 to 16 the retries, more are retries asked for by hand.
  next_retry integer NOT NULL DEFAULT 0 CHECK (next_retry >= 0),
  next_attempt_at timestamptz NOT NULL,
  -- Someone is sending until then. A sender that died is overtaken once the lease is over.
  lease_until timestamptz,
  first_attempt_at timestamptz,
  first_stamp bigint,
  acknowledged_at timestamptz,
  failed_at timestamptz
);
CREATE INDEX delivery_order ON sandbox.delivery (order_id);
CREATE INDEX delivery_due ON sandbox.delivery (next_attempt_at) WHERE state = 'PENDING';

CREATE TABLE sandbox.attempt (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  delivery_id integer NOT NULL REFERENCES sandbox.delivery,
  retry integer NOT NULL,
  -- The same step sent once more because the outcome of the one before was lost with its process.
  repeated boolean NOT NULL,
  due_at timestamptz NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  stamp bigint NOT NULL,
  body text NOT NULL,
  outcome text NOT NULL DEFAULT 'SENDING' CHECK (outcome IN ('SENDING', 'ACKNOWLEDGED', 'REFUSED', 'NO_ANSWER', 'UNKNOWN')),
  http_status integer,
  content_type text,
  answer_prefix text,
  problem text,
  took_ms integer
);
CREATE INDEX attempt_delivery ON sandbox.attempt (delivery_id, id);

CREATE TABLE sandbox.fault (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- 'global' or an external order number.
  scope text NOT NULL,
  kind text NOT NULL,
  params jsonb NOT NULL DEFAULT '{}',
  -- NULL: until removed.
  remaining integer CHECK (remaining >= 0),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX fault_scope ON sandbox.fault (scope) WHERE remaining IS NULL OR remaining > 0;

CREATE TABLE sandbox.event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,
  external_order_number text,
  detail jsonb NOT NULL DEFAULT '{}'
);

CREATE FUNCTION sandbox.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'sandbox.event is append-only: % refused', TG_OP;
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sandbox.event
  FOR EACH STATEMENT EXECUTE FUNCTION sandbox.refuse_change();
