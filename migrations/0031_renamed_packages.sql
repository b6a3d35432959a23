-- What a git repository calls its package since its default branch names another one; NULL while this is the name.
ALTER TABLE packages ADD COLUMN renamed_to TEXT;
