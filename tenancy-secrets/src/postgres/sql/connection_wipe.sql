-- role: app
-- Deletes the tokens of a connection.
-- $1 tenant, $2 provider, $3 name under which they are kept, $4 connection, $5 which tokens.
-- Index: integration_secrets_path.
DELETE FROM tenancy.integration_secrets
WHERE tenant_id = $1 AND provider = $2 AND name = $3 AND connection_id = $4 AND field = ANY ($5)
