-- role: app
-- A secret by its id; the tokens of connections are not given out here.
-- $1 tenant, $2 secret. Index: primary key.
SELECT id, provider, name, field, version, generation, created_by, created_at, updated_at, encrypted
FROM tenancy.integration_secrets
WHERE tenant_id = $1 AND id = $2 AND connection_id IS NULL
