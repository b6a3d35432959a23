-- Lists of consumers go by the shop's order, and by what has changed.
CREATE INDEX consumers_by_order ON consumers (organization_id, order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX consumers_by_change ON consumers (organization_id, updated_at, id);
