-- What search goes by and leads to, from composer.json of the version that speaks for the package.
ALTER TABLE packages ADD COLUMN keywords TEXT; -- blanks between them
ALTER TABLE packages ADD COLUMN homepage TEXT;

UPDATE packages SET
  keywords = (SELECT group_concat(k.value, ' ') FROM versions v, json_each(v.manifest, '$.keywords') k
               WHERE v.package_id = packages.id AND v.pretty = packages.latest_version AND v.removed_at IS NULL
                 AND k.type = 'text'),
  homepage = (SELECT v.manifest ->> '$.homepage' FROM versions v
               WHERE v.package_id = packages.id AND v.pretty = packages.latest_version AND v.removed_at IS NULL
                 AND (v.manifest ->> '$.homepage' GLOB 'https://*' OR v.manifest ->> '$.homepage' GLOB 'http://*'));
