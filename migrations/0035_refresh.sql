-- What an upstream said before this moment is asked for again: somebody has requested a sync.
ALTER TABLE repositories ADD COLUMN refresh_before INTEGER;
