-- role: app
-- The connection that an account has already.
-- $1 tenant, $2 provider, $3 account. Index: oauth_connections_account.
SELECT id FROM tenancy.oauth_connections
WHERE tenant_id = $1 AND provider = $2 AND external_account_id = $3
