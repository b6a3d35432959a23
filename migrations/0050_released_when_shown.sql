-- Whether `released_at` is open until the version is listed for the first time: customers can have it from then on.
ALTER TABLE versions ADD COLUMN released_when_shown INTEGER NOT NULL DEFAULT 0;
UPDATE versions SET released_when_shown = 1
 WHERE told_at IS NULL AND (ref_name = 'awaited' OR ref_name = 'upload' AND removed_at IS NULL);
