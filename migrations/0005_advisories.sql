-- What is known to be wrong with an organization's packages. Both tables name the package, not its row: what was
-- written down must outlive a package that is removed and registered again.

CREATE TABLE advisories (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  advisory_id TEXT NOT NULL, -- what people call it, in composer's ignore list too
  package_name TEXT NOT NULL,
  affected_versions TEXT NOT NULL, -- Composer constraint
  title TEXT NOT NULL,
  cve TEXT,
  link TEXT,
  severity TEXT CHECK (severity IN ('low', 'medium', 'high', 'critical')),
  sources TEXT NOT NULL, -- JSON array of {name, remoteId}
  reported_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (organization_id, advisory_id)
) STRICT;
CREATE INDEX advisories_by_package ON advisories (organization_id, package_name);

-- Filter lists: versions that composer refuses to install ('malware'), or that a project may choose to refuse.
CREATE TABLE filter_entries (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  list TEXT NOT NULL,
  package_name TEXT NOT NULL,
  version_constraint TEXT NOT NULL,
  reason TEXT,
  url TEXT,
  created_at INTEGER NOT NULL,
  UNIQUE (organization_id, list, package_name, version_constraint)
) STRICT;
CREATE INDEX filter_entries_by_package ON filter_entries (organization_id, package_name);
