-- A permission belongs to the order that it was bought with, so that a refund or a renewal finds what it is about; the same
-- permission of two orders is there twice.
ALTER TABLE grants ADD COLUMN order_id TEXT; -- of a consumer's: the shop's own
ALTER TABLE grants ADD COLUMN metadata TEXT; -- of a consumer's: JSON object, the shop's own
DROP INDEX grants_by_consumer;
CREATE UNIQUE INDEX grants_by_consumer ON grants
  (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability, ifnull(expires_at, -1),
   ifnull(order_id, ''))
  WHERE consumer_id IS NOT NULL;
CREATE INDEX grants_by_order ON grants (order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX grants_by_target ON grants (target, id) WHERE consumer_id IS NOT NULL;
CREATE INDEX grants_by_change ON grants (updated_at, id) WHERE consumer_id IS NOT NULL;
