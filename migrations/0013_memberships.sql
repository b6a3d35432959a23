-- A user may be in several organizations and has a role in each, so neither is a column of `users`. What users sign in
-- with stays there: they have one account, whichever organizations they are in.

CREATE TABLE memberships (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, organization_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_organization ON memberships (organization_id, user_id);

INSERT INTO memberships (user_id, organization_id, role, created_at)
SELECT id, organization_id, role, created_at FROM users;

DROP INDEX users_by_organization;
ALTER TABLE users DROP COLUMN role;
ALTER TABLE users DROP COLUMN organization_id;
