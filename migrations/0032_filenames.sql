-- What a shop calls the zip of a version; without one it is called by its SHA-1.
ALTER TABLE versions ADD COLUMN filename TEXT;
