-- An archive that is too large to be built in one go: how far it has come.
CREATE TABLE archive_builds (
  dist_id INTEGER PRIMARY KEY REFERENCES dists (id) ON DELETE CASCADE,
  lease_until INTEGER NOT NULL, -- somebody is building it; 0: nobody
  plan TEXT, -- SHA-256 over what it is going to hold; NULL: nothing of it is stored yet, and so are those that follow
  blob_key TEXT, -- where its parts are going to be one blob
  upload_id TEXT, -- what the blob store calls its upload
  hashes TEXT, -- JSON array of the states of its SHA-1 and SHA-256 behind the last part, hexadecimal
  remarks TEXT, -- JSON of what the content of the files in the parts tells (git::ArchiveRemarks)
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE archive_parts (
  dist_id INTEGER NOT NULL REFERENCES archive_builds (dist_id) ON DELETE CASCADE,
  number INTEGER NOT NULL, -- from 0
  tag TEXT NOT NULL, -- what the blob store calls it
  entries TEXT NOT NULL, -- JSON array of [CRC-32, compressed, inflated] of the files that end in it or in parts before it
  PRIMARY KEY (dist_id, number)
) STRICT, WITHOUT ROWID;

-- A reference that was not published: somebody asked for a commit of a branch. 'branch': the branch's history has it;
-- 'repository': only that of another ref.
ALTER TABLE dists ADD COLUMN pinned TEXT CHECK (pinned IN ('branch', 'repository'));

-- The revision at which somebody was handed the metadata of the package's branches.
ALTER TABLE packages ADD COLUMN branches_requested INTEGER;
