-- role: app
-- A secret by its path; the tokens of connections are not given out here.
-- $1 tenant, $2 provider, $3 name, $4 field. Index: integration_secrets_path.
SELECT id, provider, name, field, version, generation, created_by, created_at, updated_at, encrypted
FROM tenancy.integration_secrets
WHERE tenant_id = $1 AND provider = $2 AND name = $3 AND field = $4 AND connection_id IS NULL
