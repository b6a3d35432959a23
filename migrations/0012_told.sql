-- Shops are told of a version once: when it is first there for their customers, which a hidden one is not.
ALTER TABLE versions ADD COLUMN told_at INTEGER;
UPDATE versions SET told_at = created_at WHERE ref_name <> 'awaited';
CREATE INDEX versions_untold ON versions (package_id) WHERE told_at IS NULL;
