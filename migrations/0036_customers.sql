-- Finds the consumers of a customer.
CREATE INDEX consumers_by_customer ON consumers (organization_id, customer_id, id) WHERE customer_id IS NOT NULL;
