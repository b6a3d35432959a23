-- Uploaded zips: yanked versions, what an operator says of a package over its composer.json, and zips under removal.

-- Out of the metadata, though not gone: what lock files name stays downloadable. Only an operator takes it back.
ALTER TABLE versions ADD COLUMN yanked_at INTEGER;

-- In place of composer.json's: 'true', 'false' or the replacement's name. NULL leaves it to composer.json.
ALTER TABLE packages ADD COLUMN abandoned_override TEXT;
ALTER TABLE packages ADD COLUMN description_override TEXT;

-- Set while nobody needs the zip and its blob is being removed: until the row is gone too, nobody may begin to need it.
ALTER TABLE artifacts ADD COLUMN doomed_at INTEGER;
CREATE INDEX artifacts_by_age ON artifacts (created_at);
