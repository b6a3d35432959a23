-- What a webhook is told of: packages, how stable versions are at least, and how many days before an end.
ALTER TABLE webhooks ADD COLUMN packages TEXT; -- JSON array of [as written, first name, last name]; NULL: all
ALTER TABLE webhooks ADD COLUMN stability TEXT CHECK (stability IN ('stable', 'RC', 'beta', 'alpha', 'dev')); -- NULL: all but dev
ALTER TABLE webhooks ADD COLUMN lead_days INTEGER NOT NULL DEFAULT 14;

-- Since when its receiver has not answered: while it is silent it is sent one delivery at a time.
ALTER TABLE webhooks ADD COLUMN silent_since INTEGER;
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';

-- The end of updates that webhooks were told of. What has ended already is not told.
ALTER TABLE grants ADD COLUMN updates_told INTEGER; -- of a consumer's
UPDATE grants SET updates_told = updates_until WHERE consumer_id IS NOT NULL AND updates_until <= unixepoch() * 1000;
CREATE INDEX grants_updates_ending ON grants (updates_until, id)
  WHERE consumer_id IS NOT NULL AND updates_until IS NOT updates_told;

-- The ends of which a webhook was told before they came.
CREATE TABLE ending_notices (
  grant_id INTEGER NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
  webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  event TEXT NOT NULL,
  ends_at INTEGER NOT NULL,
  told_at INTEGER NOT NULL,
  PRIMARY KEY (grant_id, webhook_id, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX ending_notices_by_webhook ON ending_notices (webhook_id);
CREATE INDEX ending_notices_by_time ON ending_notices (told_at);

-- From which networks a consumer's keys were used today, until that is unusual.
CREATE TABLE consumer_networks (
  consumer_id INTEGER NOT NULL REFERENCES consumers (id) ON DELETE CASCADE,
  day INTEGER NOT NULL, -- days since 1970-01-01 UTC
  network TEXT NOT NULL, -- an IPv4 address, or an IPv6 /64
  PRIMARY KEY (consumer_id, day, network)
) STRICT, WITHOUT ROWID;
CREATE INDEX consumer_networks_by_day ON consumer_networks (day);
