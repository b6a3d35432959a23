-- The organization that the root surface serves is called `default`, as every other program that has organizations calls it. None could be named
-- before, so nobody has an address with its old slug.
UPDATE organizations SET slug = 'default', name = 'Default' WHERE id = 1 AND slug = 'root';
