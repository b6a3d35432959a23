-- How developers reach a git repository: the form of its address in `source`.
ALTER TABLE repositories ADD COLUMN source_protocol TEXT NOT NULL DEFAULT 'https'
  CHECK (source_protocol IN ('https', 'ssh'));
-- What .github/FUNDING.yml of its default branch says: JSON of {id of the file, list of {type, url}}; NULL when there is none.
ALTER TABLE repositories ADD COLUMN funding TEXT;
