-- Three moments of a version, which were one: when it was released, by which it is sold (released_at); when its files were
-- made, which composer shows (made_at); and when what it is now was first published here, by which composer's cooldown
-- goes (published_at). What is there keeps its date of release.
ALTER TABLE versions ADD COLUMN made_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN published_at INTEGER NOT NULL DEFAULT 0;
UPDATE versions SET
  made_at = released_at,
  published_at = coalesce(
    (SELECT d.created_at FROM dists d WHERE d.version_id = versions.id AND d.reference = versions.reference), created_at);

-- When a shop said that it is a security fix: those have it too whose updates ended before it was released.
ALTER TABLE versions ADD COLUMN security_fix_at INTEGER;
