-- Who did what, when and from where. Append-only: the database itself refuses to change or remove an entry.

CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL, -- 'admin', 'token:{uid}', 'user:{uid}'
  address TEXT, -- the client's IP address, as the edge tells it
  action TEXT NOT NULL, -- 'token.created'
  target TEXT NOT NULL, -- uid of what was acted on
  label TEXT, -- what people call it, when the change names it
  details TEXT NOT NULL -- JSON object; never a secret
) STRICT;
CREATE INDEX audit_log_by_organization ON audit_log (organization_id, id);
CREATE INDEX audit_log_by_target ON audit_log (target, id);

CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_is_never_shortened BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
