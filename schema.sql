-- What migrations/ add up to. Written by `UPDATE_SCHEMA=1 cargo test --test schema`; change the migrations.

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

CREATE TABLE archive_builds (
  dist_id INTEGER PRIMARY KEY REFERENCES dists (id) ON DELETE CASCADE,
  lease_until INTEGER NOT NULL, -- somebody is building it; 0: nobody
  plan TEXT, -- SHA-256 over what it is going to hold; NULL: nothing of it is stored yet, and so are those that follow
  blob_key TEXT, -- where its parts are going to be one blob
  upload_id TEXT, -- what the blob store calls its upload
  hashes TEXT, -- JSON array of the states of its SHA-1 and SHA-256 behind the last part, hexadecimal
  remarks TEXT, -- JSON of what the content of the files in the parts tells (git::ArchiveRemarks)
  updated_at INTEGER NOT NULL
, attempts INTEGER NOT NULL DEFAULT 0, in_one_go INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

CREATE TABLE archive_parts (
  dist_id INTEGER NOT NULL REFERENCES archive_builds (dist_id) ON DELETE CASCADE,
  number INTEGER NOT NULL, -- from 0
  tag TEXT NOT NULL, -- what the blob store calls it
  entries TEXT NOT NULL, -- JSON array of [CRC-32, compressed, inflated] of the files that end in it or in parts before it
  PRIMARY KEY (dist_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
  sha256 TEXT PRIMARY KEY,
  sha1 TEXT NOT NULL, -- Composer's shasum
  size INTEGER NOT NULL, -- bytes
  created_at INTEGER NOT NULL
, doomed_at INTEGER, unreferenced_since INTEGER) STRICT, WITHOUT ROWID;

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

CREATE TABLE consumer_networks (
  consumer_id INTEGER NOT NULL REFERENCES consumers (id) ON DELETE CASCADE,
  day INTEGER NOT NULL, -- days since 1970-01-01 UTC
  network TEXT NOT NULL, -- an IPv4 address, or an IPv6 /64
  PRIMARY KEY (consumer_id, day, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE consumers (
  id INTEGER PRIMARY KEY, -- from sequences: never given twice, because shops keep it
  uid TEXT NOT NULL UNIQUE, -- its key pair is the token of the same uid
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  email TEXT NOT NULL, -- as given
  public_key TEXT NOT NULL UNIQUE,
  private_key TEXT NOT NULL, -- sealed (registry::secrets)
  is_enabled INTEGER NOT NULL DEFAULT 1,
  customer_id TEXT, -- the shop's own
  order_id TEXT, -- the shop's own
  seats INTEGER, -- tokens it may have besides its key pair; NULL is as many as anybody may
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
, rate_limit_max INTEGER) STRICT;

CREATE TABLE dists (
  id INTEGER PRIMARY KEY,
  version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  reference TEXT NOT NULL,
  artifact_sha256 TEXT REFERENCES artifacts (sha256), -- NULL until it is built
  error TEXT, -- why it cannot be built
  created_at INTEGER NOT NULL, upstream_urls TEXT, upstream_shasum TEXT, type TEXT NOT NULL DEFAULT 'zip' CHECK (type IN ('zip', 'tar', 'gzip', 'xz')), upstream_login TEXT, pinned TEXT CHECK (pinned IN ('branch', 'repository')), has_lfs INTEGER NOT NULL DEFAULT 0,
  UNIQUE (version_id, reference)
) STRICT;

CREATE TABLE documents (
  package_id INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
  stability TEXT NOT NULL CHECK (stability IN ('stable', 'dev')),
  part INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (package_id, stability, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE downloads (
  day INTEGER NOT NULL, -- days since 1970-01-01 UTC
  version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  subject TEXT NOT NULL, -- 'token:12', or 'admin'
  count INTEGER NOT NULL, first_at INTEGER, last_at INTEGER, address TEXT,
  PRIMARY KEY (version_id, day, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE ending_notices (
  grant_id INTEGER NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
  webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  event TEXT NOT NULL,
  ends_at INTEGER NOT NULL,
  told_at INTEGER NOT NULL,
  PRIMARY KEY (grant_id, webhook_id, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE filter_entries (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  list TEXT NOT NULL,
  package_name TEXT NOT NULL,
  version_constraint TEXT NOT NULL,
  reason TEXT,
  url TEXT,
  created_at INTEGER NOT NULL, source TEXT,
  UNIQUE (organization_id, list, package_name, version_constraint)
) STRICT;

CREATE TABLE "grants" (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, because shops keep it
  token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
  consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE,
  target TEXT NOT NULL, -- '*', a name ('acme/lib') or a pattern with '*' ('acme/*')
  version_constraint TEXT NOT NULL DEFAULT '*',
  updates_until INTEGER, -- only versions released up to this moment
  minimum_stability TEXT NOT NULL DEFAULT 'dev',
  expires_at INTEGER,
  created_at INTEGER, -- of a consumer's
  updated_at INTEGER, expiry_told INTEGER, order_id TEXT, metadata TEXT, updates_told INTEGER, -- of a consumer's
  CHECK ((token_id IS NULL) <> (consumer_id IS NULL))
) STRICT;

CREATE TABLE idempotency_keys (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  key_hash TEXT NOT NULL UNIQUE, -- SHA-256 of the caller and the key, lowercase hex
  request_hash TEXT NOT NULL, -- SHA-256 of method, path and body, lowercase hex
  lease_until INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_results (
  key_uid TEXT PRIMARY KEY REFERENCES idempotency_keys (uid) ON DELETE CASCADE,
  result TEXT NOT NULL, -- JSON: what identifies what was made or changed
  secret TEXT -- sealed (registry::secrets): what was shown once
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  hash TEXT NOT NULL UNIQUE, -- SHA-256 of the link's token, lowercase hex
  invited_by INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: not a user
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE, admin_key TEXT,
  UNIQUE (organization_id, email)
) STRICT;

CREATE TABLE login_throttles (
  key TEXT PRIMARY KEY,
  attempts INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  is_noted INTEGER NOT NULL DEFAULT 0 -- whether the audit log has an entry of this window's lockout
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, organization_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE merged_consumers (
  id INTEGER PRIMARY KEY, -- that of the consumer that is gone
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  consumer_id INTEGER NOT NULL REFERENCES consumers (id) ON DELETE CASCADE, -- the one that it is part of
  merged_at INTEGER NOT NULL
) STRICT;

CREATE TABLE mirrors (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL, -- vendor/package, lowercase
  answer TEXT CHECK (answer IN ('found', 'absent', 'claimed')), -- 'claimed': it has the name, and no version; NULL: none yet
  checked_at INTEGER NOT NULL, -- when it answered last, or was asked first
  validators TEXT NOT NULL DEFAULT '[]', -- JSON array of {etag, last_modified} of its documents
  digest TEXT, -- SHA-256 over its documents
  skipped TEXT NOT NULL DEFAULT '[]', -- JSON array of [version, reason] of what was left out
  error TEXT, vanished_at INTEGER, advisories_at INTEGER, -- why the latest attempt failed; NULL when it did not
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE organization_slugs (
  slug TEXT PRIMARY KEY,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  description TEXT,
  -- Unix seconds, strictly increasing: the Last-Modified of everything that a publish can change.
  revision INTEGER NOT NULL DEFAULT 0,
  -- The same for the set of package names alone, so that a push does not make every client reload packages.json.
  names_revision INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE packages (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT,
  type TEXT NOT NULL,
  abandoned TEXT, -- 'true' or the replacement's name
  latest_version TEXT, -- pretty, the highest stable one or else the highest
  revision INTEGER NOT NULL, -- unix seconds, strictly increasing: Last-Modified of its documents
  version_index TEXT NOT NULL DEFAULT '[]', -- JSON array of [normalized, released_at, pretty], a published version each
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, abandoned_override TEXT, description_override TEXT, hidden_at INTEGER, branches_requested INTEGER, renamed_to TEXT, keywords TEXT, homepage TEXT,
  UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE password_resets (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL UNIQUE,
  issued_by INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: not a user
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE, admin_key TEXT,
  PRIMARY KEY (user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE past_grants (
  id INTEGER PRIMARY KEY,
  token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
  consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  version_constraint TEXT NOT NULL,
  updates_until INTEGER,
  minimum_stability TEXT NOT NULL,
  ended_at INTEGER NOT NULL,
  CHECK ((token_id IS NULL) <> (consumer_id IS NULL))
) STRICT;

CREATE TABLE recovery_codes (
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL, -- SHA-256, lowercase hex
  PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE remarks (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  subject TEXT NOT NULL, -- a ref's full name, or a version's reference: a commit id
  kind TEXT NOT NULL,
  text TEXT NOT NULL, -- whole sentences
  created_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, subject, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('git', 'composer', 'artifact')),
  provider TEXT NOT NULL,
  url TEXT NOT NULL,
  path TEXT NOT NULL DEFAULT '', -- sub-directory of the package inside the repository, '' for the root
  tag_filter TEXT, -- JSON array of globs; NULL takes every tag
  branch_filter TEXT,
  credential_type TEXT NOT NULL DEFAULT 'none',
  credentials TEXT, -- sealed (registry::secrets)
  capabilities TEXT, -- what the git server told of itself, JSON
  refs_digest TEXT, -- SHA-256 over the refs of the last sync that was carried through
  request_seq INTEGER NOT NULL DEFAULT 1, -- counts the asks for a sync; a run notes which one it answers
  created_at INTEGER NOT NULL, package_filter TEXT, is_active INTEGER NOT NULL DEFAULT 1, conflicting_package TEXT, tag_prefix TEXT, source_protocol TEXT NOT NULL DEFAULT 'https'
  CHECK (source_protocol IN ('https', 'ssh')), funding TEXT, refresh_before INTEGER, host TEXT GENERATED ALWAYS AS (
  substr(url, instr(url, '://') + 3, instr(substr(url, instr(url, '://') + 3) || '/', '/') - 1)) VIRTUAL, waiting_since INTEGER, lfs INTEGER NOT NULL DEFAULT 0, host_credentials TEXT, credential_hosts TEXT,
  UNIQUE (organization_id, url, path)
) STRICT;

CREATE TABLE repository_refs (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL, -- full: refs/tags/v1.0.0
  reference TEXT NOT NULL, -- commit id, annotated tags peeled
  version TEXT, -- the normalized version it became, or NULL when it was skipped
  reason TEXT, -- why it was skipped
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE settings (
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL, -- JSON
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (organization_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_runs (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  request_seq INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  finished_at INTEGER,
  outcome TEXT CHECK (outcome IN ('ok', 'failed')),
  error TEXT,
  failures INTEGER NOT NULL DEFAULT 0, -- failed runs in a row before this one
  next_due_at INTEGER,
  requests INTEGER NOT NULL DEFAULT 0, -- sent upstream
  received_bytes INTEGER NOT NULL DEFAULT 0,
  added INTEGER NOT NULL DEFAULT 0, -- versions
  changed INTEGER NOT NULL DEFAULT 0,
  removed INTEGER NOT NULL DEFAULT 0,
  skipped TEXT NOT NULL DEFAULT '[]' -- JSON array of {ref, reason}
, remarks TEXT NOT NULL DEFAULT '[]') STRICT;

CREATE TABLE texts (
  sha256 TEXT PRIMARY KEY,
  content TEXT NOT NULL
, stored_at INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  hash TEXT NOT NULL UNIQUE, -- SHA-256 of the token, lowercase hex; the token itself is nowhere
  description TEXT NOT NULL,
  scopes TEXT NOT NULL, -- JSON array of scope names
  expires_at INTEGER,
  rate_limit_max INTEGER, -- requests an hour; NULL is the default of the token's kind
  metadata TEXT NOT NULL, -- JSON object, the caller's own
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at INTEGER
, customer_id TEXT
  GENERATED ALWAYS AS (CAST(metadata ->> '$.customer_id' AS TEXT)) VIRTUAL, order_id TEXT
  GENERATED ALWAYS AS (CAST(metadata ->> '$.order_id' AS TEXT)) VIRTUAL, customer_email TEXT
  GENERATED ALWAYS AS (lower(metadata ->> '$.customer_email')) VIRTUAL, revision INTEGER NOT NULL DEFAULT 0, previous_hash TEXT, previous_until INTEGER, consumer_id INTEGER REFERENCES consumers (id) ON DELETE CASCADE, downloads INTEGER NOT NULL DEFAULT 0, last_download_at INTEGER) STRICT;

CREATE TABLE upstream_feeds (
  repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
  advisories_since INTEGER, -- what was updated before this moment has been asked for
  filter_validators TEXT NOT NULL -- JSON array [etag, last_modified] of the summary of its filter lists
) STRICT, WITHOUT ROWID;

CREATE TABLE upstream_notices (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL, -- vendor/package, lowercase
  advisories TEXT NOT NULL, -- JSON array of {advisoryId, affectedVersions, text}; no text: only named as yet
  filter TEXT NOT NULL, -- JSON array of {list, constraint, reason, url, id, source}
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  email TEXT NOT NULL UNIQUE, -- trimmed, lower case
  name TEXT NOT NULL,
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

CREATE TABLE version_files (
  version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('readme', 'changelog', 'license')),
  name TEXT NOT NULL, -- as in the repository: README.md
  text_sha256 TEXT NOT NULL REFERENCES texts (sha256),
  PRIMARY KEY (version_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  package_id INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
  normalized TEXT NOT NULL,
  pretty TEXT NOT NULL,
  ref_name TEXT NOT NULL, -- full: refs/heads/main
  reference TEXT NOT NULL, -- commit id
  is_default_branch INTEGER NOT NULL DEFAULT 0,
  manifest TEXT NOT NULL, -- composer.json as it stands in the commit
  released_at INTEGER NOT NULL,
  removed_at INTEGER, -- gone upstream: out of the metadata, its dists stay downloadable
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, yanked_at INTEGER, hidden_at INTEGER, told_at INTEGER, made_at INTEGER NOT NULL DEFAULT 0, published_at INTEGER NOT NULL DEFAULT 0, security_fix_at INTEGER, filename TEXT, released_when_shown INTEGER NOT NULL DEFAULT 0,
  UNIQUE (package_id, normalized)
) STRICT;

CREATE TABLE webhook_deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, because shops tell repetitions by it
  webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  event TEXT NOT NULL,
  payload TEXT NOT NULL, -- JSON object
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL,
  lease_until INTEGER, -- somebody is sending it
  last_status INTEGER, -- HTTP
  last_error TEXT,
  created_at INTEGER NOT NULL,
  finished_at INTEGER
) STRICT;

CREATE TABLE webhooks (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  url TEXT NOT NULL,
  secret TEXT NOT NULL, -- sealed (registry::secrets)
  events TEXT NOT NULL, -- JSON array of names
  is_enabled INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
, packages TEXT, stability TEXT CHECK (stability IN ('stable', 'RC', 'beta', 'alpha', 'dev')), lead_days INTEGER NOT NULL DEFAULT 14, silent_since INTEGER) STRICT;

CREATE INDEX advisories_by_package ON advisories (organization_id, package_name);

CREATE INDEX artifacts_by_age ON artifacts (created_at);

CREATE INDEX artifacts_unreferenced ON artifacts (unreferenced_since) WHERE unreferenced_since IS NOT NULL;

CREATE INDEX audit_log_by_organization ON audit_log (organization_id, id);

CREATE INDEX audit_log_by_target ON audit_log (target, id);

CREATE INDEX audit_log_of_permissions ON audit_log (organization_id, id)
  WHERE action IN ('order.changed', 'order.revoked', 'permissions.changed');

CREATE INDEX audit_log_with_address ON audit_log (at) WHERE address IS NOT NULL;

CREATE INDEX consumer_networks_by_day ON consumer_networks (day);

CREATE INDEX consumers_by_change ON consumers (organization_id, updated_at, id);

CREATE INDEX consumers_by_customer ON consumers (organization_id, customer_id, id) WHERE customer_id IS NOT NULL;

CREATE INDEX consumers_by_email ON consumers (organization_id, lower(email), id);

CREATE INDEX consumers_by_order ON consumers (organization_id, order_id, id) WHERE order_id IS NOT NULL;

CREATE INDEX dists_by_artifact ON dists (artifact_sha256);

CREATE INDEX dists_by_login ON dists (upstream_login) WHERE upstream_login IS NOT NULL;

CREATE INDEX downloads_by_consumer ON downloads (subject) WHERE subject GLOB 'consumer:*';

CREATE INDEX downloads_with_address ON downloads (day) WHERE address IS NOT NULL;

CREATE INDEX ending_notices_by_time ON ending_notices (told_at);

CREATE INDEX ending_notices_by_webhook ON ending_notices (webhook_id);

CREATE INDEX filter_entries_by_package ON filter_entries (organization_id, package_name);

CREATE INDEX grants_by_change ON grants (updated_at, id) WHERE consumer_id IS NOT NULL;

CREATE UNIQUE INDEX grants_by_consumer ON grants
  (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability, ifnull(expires_at, -1),
   ifnull(order_id, ''))
  WHERE consumer_id IS NOT NULL;

CREATE INDEX grants_by_order ON grants (order_id, id) WHERE order_id IS NOT NULL;

CREATE INDEX grants_by_target ON grants (target, id) WHERE consumer_id IS NOT NULL;

CREATE INDEX grants_by_token ON grants (token_id);

CREATE INDEX grants_ending ON grants (expires_at, id) WHERE consumer_id IS NOT NULL AND expires_at IS NOT expiry_told;

CREATE INDEX grants_updates_ending ON grants (updates_until, id)
  WHERE consumer_id IS NOT NULL AND updates_until IS NOT updates_told;

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);

CREATE INDEX invitations_by_inviter ON invitations (invited_by);

CREATE INDEX invitations_by_token ON invitations (token_id);

CREATE INDEX login_throttles_by_end ON login_throttles (ends_at);

CREATE INDEX memberships_by_organization ON memberships (organization_id, user_id);

CREATE INDEX merged_consumers_by_consumer ON merged_consumers (consumer_id);

CREATE INDEX merged_consumers_by_organization ON merged_consumers (organization_id);

CREATE INDEX organization_slugs_by_organization ON organization_slugs (organization_id);

CREATE INDEX packages_by_repository ON packages (repository_id);

CREATE INDEX password_resets_by_issuer ON password_resets (issued_by);

CREATE INDEX password_resets_by_token ON password_resets (token_id);

CREATE UNIQUE INDEX past_grants_by_consumer ON past_grants
  (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
  WHERE consumer_id IS NOT NULL;

CREATE INDEX past_grants_by_end ON past_grants (ended_at);

CREATE UNIQUE INDEX past_grants_by_token ON past_grants
  (token_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
  WHERE token_id IS NOT NULL;

CREATE INDEX repositories_upstream ON repositories (organization_id, id) WHERE kind = 'composer';

CREATE INDEX repositories_waiting ON repositories (host) WHERE waiting_since IS NOT NULL;

CREATE INDEX sessions_by_user ON sessions (user_id, id);

CREATE INDEX sync_runs_by_repository ON sync_runs (repository_id, id);

CREATE INDEX sync_runs_under_way ON sync_runs (lease_until) WHERE finished_at IS NULL;

CREATE INDEX tokens_by_consumer ON tokens (consumer_id);

CREATE INDEX tokens_by_customer ON tokens (organization_id, customer_id, id);

CREATE INDEX tokens_by_email ON tokens (organization_id, customer_email, id);

CREATE INDEX tokens_by_order ON tokens (organization_id, order_id, id);

CREATE INDEX tokens_by_organization ON tokens (organization_id, id);

CREATE UNIQUE INDEX tokens_by_previous_hash ON tokens (previous_hash);

CREATE INDEX version_files_by_text ON version_files (text_sha256);

CREATE INDEX versions_untold ON versions (package_id) WHERE told_at IS NULL;

CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);

CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';

CREATE UNIQUE INDEX webhooks_by_url ON webhooks (organization_id, url);

CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
WHEN NEW.id IS NOT OLD.id OR NEW.uid IS NOT OLD.uid OR NEW.organization_id IS NOT OLD.organization_id
  OR NEW.at IS NOT OLD.at OR NEW.actor IS NOT OLD.actor OR NEW.action IS NOT OLD.action
  OR (NEW.target IS NOT OLD.target AND (NEW.target <> '' OR NEW.details <> '{"erased":true}'))
  OR (NEW.address IS NOT NULL AND NEW.address IS NOT OLD.address)
  OR (NEW.label IS NOT NULL AND NEW.label IS NOT OLD.label)
  OR (NEW.details <> '{"erased":true}' AND NEW.details IS NOT OLD.details)
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_is_never_shortened BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER package_id_was_given AFTER INSERT ON packages
WHEN NEW.id <= (SELECT last FROM sequences WHERE name = 'deleted_packages')
BEGIN
  UPDATE packages SET id = 1 + (SELECT last FROM sequences WHERE name = 'deleted_packages') WHERE id = NEW.id;
END;

CREATE TRIGGER package_is_deleted AFTER DELETE ON packages
BEGIN
  UPDATE sequences SET last = max(last, OLD.id) WHERE name = 'deleted_packages';
END;

CREATE TRIGGER version_id_was_given AFTER INSERT ON versions
WHEN NEW.id <= (SELECT last FROM sequences WHERE name = 'deleted_versions')
BEGIN
  UPDATE versions SET id = 1 + (SELECT last FROM sequences WHERE name = 'deleted_versions') WHERE id = NEW.id;
END;

CREATE TRIGGER version_is_deleted AFTER DELETE ON versions
BEGIN
  UPDATE sequences SET last = max(last, OLD.id) WHERE name = 'deleted_versions';
END;
