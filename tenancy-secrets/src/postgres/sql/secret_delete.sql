-- role: app
-- Deletes a secret; not the token of a connection.
-- $1 tenant, $2 secret. Index: primary key.
DELETE FROM tenancy.integration_secrets
WHERE tenant_id = $1 AND id = $2 AND connection_id IS NULL
