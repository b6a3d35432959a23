-- Who says so, of an entry that is written down here.
ALTER TABLE filter_entries ADD COLUMN source TEXT;
