-- The audit log stays append-only but for what is personal: an entry can lose its address, its label and its details, which then
-- say that they were erased, and with these its target, which may be a shop's id of an order. Nothing else of it can change, and
-- nothing else can stand in their place.
DROP TRIGGER audit_log_is_never_changed;
CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
WHEN NEW.id IS NOT OLD.id OR NEW.uid IS NOT OLD.uid OR NEW.organization_id IS NOT OLD.organization_id
  OR NEW.at IS NOT OLD.at OR NEW.actor IS NOT OLD.actor OR NEW.action IS NOT OLD.action
  OR (NEW.target IS NOT OLD.target AND (NEW.target <> '' OR NEW.details <> '{"erased":true}'))
  OR (NEW.address IS NOT NULL AND NEW.address IS NOT OLD.address)
  OR (NEW.label IS NOT NULL AND NEW.label IS NOT OLD.label)
  OR (NEW.details <> '{"erased":true}' AND NEW.details IS NOT OLD.details)
BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- Addresses that are still kept, the oldest first.
CREATE INDEX audit_log_with_address ON audit_log (at) WHERE address IS NOT NULL;
CREATE INDEX downloads_with_address ON downloads (day) WHERE address IS NOT NULL;

-- Entries about the permissions of several consumers, whom their details name.
CREATE INDEX audit_log_of_permissions ON audit_log (organization_id, id)
  WHERE action IN ('order.changed', 'order.revoked', 'permissions.changed');
