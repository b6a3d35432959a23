-- A link ends with whoever issued it: a user, a token, or ADMIN_TOKEN as it is then.
ALTER TABLE invitations ADD COLUMN token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE;
ALTER TABLE invitations ADD COLUMN admin_key TEXT; -- which ADMIN_TOKEN, as a digest of its hash; NULL in older rows
ALTER TABLE password_resets ADD COLUMN token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE;
ALTER TABLE password_resets ADD COLUMN admin_key TEXT; -- the same
CREATE INDEX invitations_by_token ON invitations (token_id);
CREATE INDEX password_resets_by_token ON password_resets (token_id);

-- The audit log knows who issued the links that there are.
UPDATE invitations SET token_id = (
  SELECT t.id FROM audit_log a JOIN tokens t ON a.actor = 'token:' || t.uid
   WHERE a.target = invitations.uid AND a.action = 'invitation.created'
   ORDER BY a.id DESC LIMIT 1)
 WHERE invited_by IS NULL;
UPDATE password_resets SET token_id = (
  SELECT t.id FROM tokens t WHERE 'token:' || t.uid = (
    SELECT a.actor FROM audit_log a JOIN users u ON u.id = password_resets.user_id
     WHERE a.target = u.uid AND a.action = 'user.reset_link_issued'
     ORDER BY a.id DESC LIMIT 1))
 WHERE issued_by IS NULL;
