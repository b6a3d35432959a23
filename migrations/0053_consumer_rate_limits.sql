-- Requests an hour of each credential of a consumer; NULL is what any credential has that reads.
ALTER TABLE consumers ADD COLUMN rate_limit_max INTEGER;
