-- Few syncs of one host run at a time. Those beyond that wait, and are taken up when one ends.
ALTER TABLE repositories ADD COLUMN host TEXT GENERATED ALWAYS AS (
  substr(url, instr(url, '://') + 3, instr(substr(url, instr(url, '://') + 3) || '/', '/') - 1)) VIRTUAL;
ALTER TABLE repositories ADD COLUMN waiting_since INTEGER; -- for a sync of its host to end
CREATE INDEX repositories_waiting ON repositories (host) WHERE waiting_since IS NOT NULL;
CREATE INDEX sync_runs_under_way ON sync_runs (lease_until) WHERE finished_at IS NULL;
