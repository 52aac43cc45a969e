-- role: app
-- A page of secrets without their values, in the order of their ids.
-- $1 tenant, $2 provider or NULL, $3 id to go on behind or NULL, $4 rows. Index: primary key.
SELECT id, provider, name, field, version, created_by, created_at, updated_at
FROM tenancy.integration_secrets
WHERE tenant_id = $1 AND connection_id IS NULL
  AND ($2::text IS NULL OR provider = $2) AND ($3::uuid IS NULL OR id > $3)
ORDER BY id
LIMIT $4
