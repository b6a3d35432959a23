-- How far an upstream has told of advisories and filter lists by the addresses that its root names for them.
CREATE TABLE upstream_feeds (
  repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
  advisories_since INTEGER, -- what was updated before this moment has been asked for
  filter_validators TEXT NOT NULL -- JSON array [etag, last_modified] of the summary of its filter lists
) STRICT, WITHOUT ROWID;

-- When the advisories of a name were asked for in full.
ALTER TABLE mirrors ADD COLUMN advisories_at INTEGER;
