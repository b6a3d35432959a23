-- Customers of a shop: their key pairs, and what they may install.

CREATE TABLE consumers (
  id INTEGER PRIMARY KEY, -- from sequences: never given twice, because shops keep it
  uid TEXT NOT NULL UNIQUE, -- its key pair is the token of the same uid
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  email TEXT NOT NULL, -- as given
  public_key TEXT NOT NULL UNIQUE,
  private_key TEXT NOT NULL, -- sealed (registry::secrets)
  is_enabled INTEGER NOT NULL DEFAULT 1,
  customer_id TEXT, -- the shop's own
  order_id TEXT, -- the shop's own
  seats INTEGER, -- tokens it may have besides its key pair; NULL is as many as anybody may
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX consumers_by_email ON consumers (organization_id, lower(email), id);

-- The last id that was given, for answers that must hold the id of what is about to be made.
CREATE TABLE sequences (
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Set on the key pair of a consumer and on its further tokens: they see what the consumer was granted.
ALTER TABLE tokens ADD COLUMN consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE;
CREATE INDEX tokens_by_consumer ON tokens (consumer_id);

-- What a token or a consumer may see. No row: nothing. Access is decided by registry::access, never in SQL.
CREATE TABLE new_grants (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, because shops keep it
  token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
  consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE,
  target TEXT NOT NULL, -- '*', a name ('acme/lib') or a pattern with '*' ('acme/*')
  version_constraint TEXT NOT NULL DEFAULT '*',
  updates_until INTEGER, -- only versions released up to this moment
  minimum_stability TEXT NOT NULL DEFAULT 'dev',
  expires_at INTEGER,
  created_at INTEGER, -- of a consumer's
  updated_at INTEGER, -- of a consumer's
  CHECK ((token_id IS NULL) <> (consumer_id IS NULL))
) STRICT;
INSERT INTO new_grants (id, token_id, target, version_constraint, updates_until, minimum_stability, expires_at)
SELECT id, token_id, target, version_constraint, updates_until, minimum_stability, expires_at FROM grants;
DROP TABLE grants;
ALTER TABLE new_grants RENAME TO grants;
CREATE INDEX grants_by_token ON grants (token_id);
-- What is granted twice would be taken back only once.
CREATE UNIQUE INDEX grants_by_consumer ON grants
  (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability, ifnull(expires_at, -1))
  WHERE consumer_id IS NOT NULL;
