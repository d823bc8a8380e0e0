-- The console's one password and who is logged in with it.

CREATE TABLE sandbox.console_password (
  -- One row at most: the sandbox knows no users.
  one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
  salt bytea NOT NULL,
  hash bytea NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sandbox.console_session (
  -- SHA-256 of the cookie, so that whoever reads this table is not logged in by it.
  token_sha256 text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  ends_at timestamptz NOT NULL
);

CREATE INDEX event_order ON sandbox.event (external_order_number, id) WHERE external_order_number IS NOT NULL;
