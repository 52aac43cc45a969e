-- role: app
-- The jobs that have these keys. $1 tenant, $2 hashes. Index: primary key of job_keys.
SELECT key_hash, job_id FROM tenancy.job_keys WHERE tenant_id = $1 AND key_hash = ANY ($2)
