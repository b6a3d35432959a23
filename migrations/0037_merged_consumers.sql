-- Consumers that became part of another, so that whoever asks for one of them is told which. Their ids are never given again.
CREATE TABLE merged_consumers (
  id INTEGER PRIMARY KEY, -- that of the consumer that is gone
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  consumer_id INTEGER NOT NULL REFERENCES consumers (id) ON DELETE CASCADE, -- the one that it is part of
  merged_at INTEGER NOT NULL
) STRICT;
CREATE INDEX merged_consumers_by_organization ON merged_consumers (organization_id);
CREATE INDEX merged_consumers_by_consumer ON merged_consumers (consumer_id);
