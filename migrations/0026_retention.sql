-- A zip that nobody needs is kept as long as the database can be restored to a moment when somebody did.
ALTER TABLE artifacts ADD COLUMN unreferenced_since INTEGER; -- NULL: some dist has it, or nobody has looked

CREATE INDEX artifacts_unreferenced ON artifacts (unreferenced_since) WHERE unreferenced_since IS NOT NULL;
