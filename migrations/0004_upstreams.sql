-- Upstream composer repositories, what is mirrored of them, and the settings of an organization.

-- One row a key; registry::settings knows the keys and what an absent one means.
CREATE TABLE settings (
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL, -- JSON
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (organization_id, key)
) STRICT, WITHOUT ROWID;

-- JSON array of names and globs that an upstream may answer; NULL is every name.
ALTER TABLE repositories ADD COLUMN package_filter TEXT;
-- 0: it is not asked, not synced and answers nothing; Packagist while its mirroring is switched off.
ALTER TABLE repositories ADD COLUMN is_active INTEGER NOT NULL DEFAULT 1;

CREATE INDEX repositories_upstream ON repositories (organization_id, id) WHERE kind = 'composer';

-- What upstream repositories answered when they were asked for a name.
CREATE TABLE mirrors (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL, -- vendor/package, lowercase
  answer TEXT CHECK (answer IN ('found', 'absent', 'claimed')), -- 'claimed': it has the name, and no version; NULL: none yet
  checked_at INTEGER NOT NULL, -- when it answered last, or was asked first
  validators TEXT NOT NULL DEFAULT '[]', -- JSON array of {etag, last_modified} of its documents
  digest TEXT, -- SHA-256 over its documents
  skipped TEXT NOT NULL DEFAULT '[]', -- JSON array of [version, reason] of what was left out
  error TEXT, -- why the latest attempt failed; NULL when it did not
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX mirrors_by_age ON mirrors (repository_id, checked_at);

-- Where a mirrored zip is fetched from: JSON array of URLs, the first to be tried first; NULL when it is built here.
ALTER TABLE dists ADD COLUMN upstream_urls TEXT;
-- SHA-1 that upstream promises of it; '' promises nothing.
ALTER TABLE dists ADD COLUMN upstream_shasum TEXT;
