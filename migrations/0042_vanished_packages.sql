-- A package that its upstream has no longer stays as it was, and says so.
ALTER TABLE mirrors ADD COLUMN vanished_at INTEGER; -- since when it is not there any more, while what it had is kept
