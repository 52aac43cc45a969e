-- role: app
-- Destroys a subject's key; the row, or NULL where nothing was left to erase. Fails (TS001) under a legal hold.
-- $1 id for a subject without a row, $2 hash of the subject. Index: subject_keys_subject.
SELECT tenancy.erase_subject_key($1, $2)
