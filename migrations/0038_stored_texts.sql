-- Texts are stored ahead of the versions that have them.
ALTER TABLE texts ADD COLUMN stored_at INTEGER NOT NULL DEFAULT 0; -- when a sync or an upload last brought it along, to the hour
