-- How often the building of an archive was begun since it last got ahead: what is cut off again and again is given up.
ALTER TABLE archive_builds ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;

-- Whether it is being built in one go until `lease_until`. A row that is left of that was cut off.
ALTER TABLE archive_builds ADD COLUMN in_one_go INTEGER NOT NULL DEFAULT 0;
