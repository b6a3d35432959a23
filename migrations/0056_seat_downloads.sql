-- The installs that were reported with each of a consumer's credentials, and when the last one was: which seats are used, and how much.
ALTER TABLE tokens ADD COLUMN downloads INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN last_download_at INTEGER;
