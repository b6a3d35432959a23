-- Upstreams have archives of other kinds than zips, and archives on hosts with a login of their own in the address.
ALTER TABLE dists ADD COLUMN type TEXT NOT NULL DEFAULT 'zip' CHECK (type IN ('zip', 'tar', 'gzip', 'xz'));
ALTER TABLE dists ADD COLUMN upstream_login TEXT; -- sealed (registry::secrets): what stood in the address of the archive
CREATE INDEX dists_by_login ON dists (upstream_login) WHERE upstream_login IS NOT NULL;
