-- role: app
-- Stores a subject's first key: `ok`, `key_retired` or `stale`.
-- $1 id, $2 hash of the subject, $3 envelope, $4 data key. Index: subject_keys_subject.
SELECT tenancy.put_subject_key($1, $2, $3, $4)
