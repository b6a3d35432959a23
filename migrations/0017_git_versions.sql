-- The package of which another repository kept the sync of `refs_digest` from publishing anything: while it has it and the
-- refs are the same, there is nothing to ask for.
ALTER TABLE repositories ADD COLUMN conflicting_package TEXT;

-- What the tags of a package begin with where a repository has several packages: it is cut off, other tags are not its.
ALTER TABLE repositories ADD COLUMN tag_prefix TEXT;
