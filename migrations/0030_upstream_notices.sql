-- What upstreams say to be wrong with packages: advisories, and entries of filter lists like `malware`.
CREATE TABLE upstream_notices (
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL, -- vendor/package, lowercase
  advisories TEXT NOT NULL, -- JSON array of {advisoryId, affectedVersions, text}; no text: only named as yet
  filter TEXT NOT NULL, -- JSON array of {list, constraint, reason, url, id, source}
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;

-- Roots and documents that were read before tell of notices when they are read again.
UPDATE repositories SET capabilities = json_set(capabilities, '$.validators', json('[null,null]'))
 WHERE kind = 'composer' AND capabilities ->> '$.root.metadata_url' IS NOT NULL;
UPDATE mirrors SET validators = '[]', digest = NULL
 WHERE answer = 'found' AND repository_id IN (
   SELECT id FROM repositories WHERE kind = 'composer' AND capabilities ->> '$.root.metadata_url' IS NOT NULL);
