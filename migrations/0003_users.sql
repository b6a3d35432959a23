-- People who sign in: users with their role, second factor and sessions, the links that let somebody become one or choose
-- a new password, and the counting of failed logins.

CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  email TEXT NOT NULL UNIQUE, -- trimmed, lower case
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  password TEXT NOT NULL, -- argon2id as a PHC string
  session_epoch INTEGER NOT NULL DEFAULT 0, -- moves when all sessions end: those of an earlier epoch are void
  blocked_at INTEGER,
  totp_secret TEXT, -- sealed (registry::secrets)
  totp_enabled_at INTEGER, -- NULL while the secret is only prepared
  totp_last_step INTEGER NOT NULL DEFAULT 0, -- the latest time step whose code was used
  created_at INTEGER NOT NULL,
  last_login_at INTEGER,
  last_failed_at INTEGER -- the latest refused login
) STRICT;
CREATE INDEX users_by_organization ON users (organization_id, id);

-- Each lets its user in once when the second factor is lost; using one deletes it.
CREATE TABLE recovery_codes (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL, -- SHA-256, lowercase hex
  PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

-- Decides whether a session is alive. KV holds when it was last seen, so that this need not be written each time.
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL UNIQUE, -- SHA-256 of the session's token, lowercase hex
  epoch INTEGER NOT NULL, -- the user's session_epoch that it belongs to
  address TEXT, -- the client's IP address at login
  user_agent TEXT,
  created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL, -- up to fifteen minutes behind
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, id);

-- Who may become a user. Accepting or revoking one deletes it; the audit log remembers.
CREATE TABLE invitations (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  hash TEXT NOT NULL UNIQUE, -- SHA-256 of the link's token, lowercase hex
  invited_by INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: not a user
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  UNIQUE (organization_id, email)
) STRICT;
CREATE INDEX invitations_by_inviter ON invitations (invited_by);

-- One open link a user; a new one replaces it, using it deletes it.
CREATE TABLE password_resets (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL UNIQUE,
  issued_by INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: not a user
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX password_resets_by_issuer ON password_resets (issued_by);

-- Failed logins in the current window, of an account ('account:' and a hash of its address, known or not) or of a
-- client ('address:' and its IP address).
CREATE TABLE login_throttles (
  key TEXT PRIMARY KEY,
  attempts INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  is_noted INTEGER NOT NULL DEFAULT 0 -- whether the audit log has an entry of this window's lockout
) STRICT, WITHOUT ROWID;
CREATE INDEX login_throttles_by_end ON login_throttles (ends_at);
