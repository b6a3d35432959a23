-- Credentials for other hosts than a repository's own, where its zips are.
ALTER TABLE repositories ADD COLUMN host_credentials TEXT; -- sealed (registry::secrets)
ALTER TABLE repositories ADD COLUMN credential_hosts TEXT; -- JSON array of {host, credential_type}
