-- Tokens: what shops look them up by, secrets that replace one another, and changes that must not cross.

ALTER TABLE tokens ADD COLUMN customer_id TEXT
  GENERATED ALWAYS AS (CAST(metadata ->> '$.customer_id' AS TEXT)) VIRTUAL;
ALTER TABLE tokens ADD COLUMN order_id TEXT
  GENERATED ALWAYS AS (CAST(metadata ->> '$.order_id' AS TEXT)) VIRTUAL;
ALTER TABLE tokens ADD COLUMN customer_email TEXT
  GENERATED ALWAYS AS (lower(metadata ->> '$.customer_email')) VIRTUAL;
-- Counts the changes: whoever decided by an earlier one is told so.
ALTER TABLE tokens ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- The secret before the last rotation, and until when it still works.
ALTER TABLE tokens ADD COLUMN previous_hash TEXT;
ALTER TABLE tokens ADD COLUMN previous_until INTEGER;

CREATE INDEX tokens_by_customer ON tokens (organization_id, customer_id, id);
CREATE INDEX tokens_by_order ON tokens (organization_id, order_id, id);
CREATE INDEX tokens_by_email ON tokens (organization_id, customer_email, id);
CREATE UNIQUE INDEX tokens_by_previous_hash ON tokens (previous_hash);

-- Requests that came with an Idempotency-Key. Without an answer, a row is a lease: somebody is at it.
CREATE TABLE idempotency_keys (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  key_hash TEXT NOT NULL UNIQUE, -- SHA-256 of the caller and the key, lowercase hex
  request_hash TEXT NOT NULL, -- SHA-256 of method, path and body, lowercase hex
  lease_until INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);

-- What was answered. Written in the batch that does what was asked, which fails as a whole when the lease is lost.
CREATE TABLE idempotency_answers (
  key_uid TEXT PRIMARY KEY REFERENCES idempotency_keys (uid) ON DELETE CASCADE,
  status INTEGER NOT NULL,
  body TEXT NOT NULL -- sealed (registry::secrets)
) STRICT, WITHOUT ROWID;
