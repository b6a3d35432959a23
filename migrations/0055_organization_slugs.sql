-- What organizations were called before. Their addresses stand in lock files, so they lead to the new ones for as long as nobody else
-- takes the name.
CREATE TABLE organization_slugs (
  slug TEXT PRIMARY KEY,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX organization_slugs_by_organization ON organization_slugs (organization_id);
