-- What operators should know of a ref although it became a version: a skipped ref has a reason, this one has remarks. They
-- come from syncs and from the building of zips, and stay while the ref is at that commit.
CREATE TABLE remarks (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  subject TEXT NOT NULL, -- a ref's full name, or a version's reference: a commit id
  kind TEXT NOT NULL,
  text TEXT NOT NULL, -- whole sentences
  created_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, subject, kind)
) STRICT, WITHOUT ROWID;

ALTER TABLE sync_runs ADD COLUMN remarks TEXT NOT NULL DEFAULT '[]'; -- JSON array of {ref, kind, text}: those that were new
