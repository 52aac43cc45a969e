-- role: worker
-- The next rows that are not under the run's key.
-- $1 tenant, $2 run, $3 rows. Index: primary key of integration_secrets.
SELECT id, provider, field, encrypted, key_id, version, generation
FROM tenancy.rotation_batch($1, $2, $3)
