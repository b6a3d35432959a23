-- Whether zips have the files that Git LFS keeps in place of the pointers to them.
ALTER TABLE repositories ADD COLUMN lfs INTEGER NOT NULL DEFAULT 0;

-- Whether the commit of the zip has pointers of Git LFS: it is another zip when the repository's option changes.
ALTER TABLE dists ADD COLUMN has_lfs INTEGER NOT NULL DEFAULT 0;
UPDATE dists SET has_lfs = 1
 WHERE artifact_sha256 IS NOT NULL AND EXISTS (
   SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id JOIN remarks m ON m.repository_id = p.repository_id
    WHERE v.id = dists.version_id AND m.subject = dists.reference AND m.kind = 'lfs_pointers');
