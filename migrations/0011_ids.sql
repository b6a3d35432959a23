-- Shops keep the ids of packages and versions, so none may be given twice. SQLite gives the highest id plus one: the
-- highest would be given again after its deletion. AUTOINCREMENT would need the tables to be made anew, with everything
-- that refers to them.

INSERT INTO sequences (name, last) VALUES ('deleted_packages', 0), ('deleted_versions', 0);

CREATE TRIGGER package_is_deleted AFTER DELETE ON packages
BEGIN
  UPDATE sequences SET last = max(last, OLD.id) WHERE name = 'deleted_packages';
END;

CREATE TRIGGER package_id_was_given AFTER INSERT ON packages
WHEN NEW.id <= (SELECT last FROM sequences WHERE name = 'deleted_packages')
BEGIN
  UPDATE packages SET id = 1 + (SELECT last FROM sequences WHERE name = 'deleted_packages') WHERE id = NEW.id;
END;

CREATE TRIGGER version_is_deleted AFTER DELETE ON versions
BEGIN
  UPDATE sequences SET last = max(last, OLD.id) WHERE name = 'deleted_versions';
END;

CREATE TRIGGER version_id_was_given AFTER INSERT ON versions
WHEN NEW.id <= (SELECT last FROM sequences WHERE name = 'deleted_versions')
BEGIN
  UPDATE versions SET id = 1 + (SELECT last FROM sequences WHERE name = 'deleted_versions') WHERE id = NEW.id;
END;
