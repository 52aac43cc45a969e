-- role: worker
-- The next rows that are not under the run's key.
-- $1 tenant, $2 run, $3 rows. Index: primary keys.
SELECT id, provider, field, subject_hash, encrypted, key_id, version, generation
FROM tenancy.rotation_batch($1, $2, $3)
