-- What a shop is told: where, of which events, and the log of what was sent.

CREATE TABLE webhooks (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  url TEXT NOT NULL,
  secret TEXT NOT NULL, -- sealed (registry::secrets)
  events TEXT NOT NULL, -- JSON array of names
  is_enabled INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX webhooks_by_url ON webhooks (organization_id, url);

-- Written in the same batch as what they tell of, so that nothing is told that did not happen, and nothing is forgotten.
CREATE TABLE webhook_deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, because shops tell repetitions by it
  webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  event TEXT NOT NULL,
  payload TEXT NOT NULL, -- JSON object
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL,
  lease_until INTEGER, -- somebody is sending it
  last_status INTEGER, -- HTTP
  last_error TEXT,
  created_at INTEGER NOT NULL,
  finished_at INTEGER
) STRICT;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);

-- The end that shops were told of; a permission that is extended ends once more.
ALTER TABLE grants ADD COLUMN expiry_told INTEGER;
UPDATE grants SET expiry_told = expires_at WHERE consumer_id IS NOT NULL AND expires_at <= unixepoch() * 1000;
CREATE INDEX grants_ending ON grants (expires_at, id) WHERE consumer_id IS NOT NULL AND expires_at IS NOT expiry_told;
