-- Grants that were taken back or changed, and when: whoever asks for a version that one of them covered is told so. Those
-- that end by time stay where they are.
CREATE TABLE past_grants (
  id INTEGER PRIMARY KEY,
  token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
  consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  version_constraint TEXT NOT NULL,
  updates_until INTEGER,
  minimum_stability TEXT NOT NULL,
  ended_at INTEGER NOT NULL,
  CHECK ((token_id IS NULL) <> (consumer_id IS NULL))
) STRICT;

CREATE UNIQUE INDEX past_grants_by_consumer ON past_grants
  (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
  WHERE consumer_id IS NOT NULL;

CREATE UNIQUE INDEX past_grants_by_token ON past_grants
  (token_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
  WHERE token_id IS NOT NULL;

CREATE INDEX past_grants_by_end ON past_grants (ended_at);
