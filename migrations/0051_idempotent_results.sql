-- What a request did is kept in place of what it was answered: the answer is made anew from what is there when the request is
-- repeated. Answers from before are forgotten and their keys are not: what they did is not done a second time.
CREATE TABLE idempotency_results (
  key_uid TEXT PRIMARY KEY REFERENCES idempotency_keys (uid) ON DELETE CASCADE,
  result TEXT NOT NULL, -- JSON: what identifies what was made or changed
  secret TEXT -- sealed (registry::secrets): what was shown once
) STRICT, WITHOUT ROWID;
INSERT INTO idempotency_results (key_uid, result) SELECT key_uid, 'null' FROM idempotency_answers;
DROP TABLE idempotency_answers;
