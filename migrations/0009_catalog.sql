-- What shops sell: packages and versions that are hidden for a while, and who downloaded them when and from where.

ALTER TABLE packages ADD COLUMN hidden_at INTEGER; -- while it is set, nobody sees any version of it
ALTER TABLE versions ADD COLUMN hidden_at INTEGER; -- while it is set, nobody sees it

ALTER TABLE downloads ADD COLUMN first_at INTEGER; -- of the day
ALTER TABLE downloads ADD COLUMN last_at INTEGER; -- of the day
ALTER TABLE downloads ADD COLUMN address TEXT; -- the client's IP address at the last one, as the edge tells it
CREATE INDEX downloads_by_consumer ON downloads (subject) WHERE subject GLOB 'consumer:*';
