-- Sellers' offers, several keys, fees, and what the remaining misbehaviour needs to know.

-- Keys in the order they were made; revoked_at may lie ahead: until then the key is still in force.
ALTER TABLE sandbox.access_key ADD COLUMN position integer GENERATED ALWAYS AS IDENTITY;

CREATE TABLE sandbox.advertisement (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code text NOT NULL UNIQUE,
  seller text NOT NULL,
  currency_code text NOT NULL CHECK (currency_code IN ('CNY', 'HKD', 'TWD')),
  -- Fiat per MTC; NULL follows the setting `prices`, so that the first offers move with it.
  unit_price numeric CHECK (unit_price > 0),
  -- Limits of one order, in fiat, fee not counted.
  min_price numeric NOT NULL DEFAULT 0 CHECK (min_price >= 0),
  max_price numeric CHECK (max_price >= min_price),
  -- MTC not yet reserved or sold; NULL is without end, and then no order has to wait for another's lock.
  remaining numeric CHECK (remaining >= 0),
  payment_methods text[] NOT NULL,
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO sandbox.advertisement (code, seller, currency_code, payment_methods) VALUES
  ('ADCNY00000001', 'Sandbox Seller A', 'CNY', '{"bank transfer",Alipay,"WeChat Pay"}'),
  ('ADHKD00000001', 'Sandbox Seller B', 'HKD', '{"bank transfer",FPS}'),
  ('ADTWD00000001', 'Sandbox Seller C', 'TWD', '{"bank transfer"}');

ALTER TABLE sandbox.buy_order
  ADD FOREIGN KEY (advertisement_code) REFERENCES sandbox.advertisement (code),
  -- The part of mtc_amount the merchant does not receive.
  ADD COLUMN fee_mtc numeric NOT NULL DEFAULT 0 CHECK (fee_mtc >= 0 AND fee_mtc < mtc_amount),
  -- The part of total_price that buys no MTC.
  ADD COLUMN fee_price numeric NOT NULL DEFAULT 0 CHECK (fee_price >= 0 AND fee_price < total_price),
  -- What the callback will tell as transactionAmount; NULL is mtc_amount.
  ADD COLUMN reported_amount numeric CHECK (reported_amount > 0),
  -- Header timestamp of the placement; with the key it gives the merchant's own signature again.
  ADD COLUMN placed_stamp text;
CREATE INDEX buy_order_advertisement ON sandbox.buy_order (advertisement_code, state);

-- One attempt and no retries: a part of a storm.
ALTER TABLE sandbox.delivery ADD COLUMN single boolean NOT NULL DEFAULT false;
