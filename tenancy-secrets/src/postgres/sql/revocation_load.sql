-- role: app
-- A token to be taken back, and for how many seconds that was tried.
-- $1 tenant, $2 id. Index: primary key.
SELECT connection_id, provider, secret_id, field, version, encrypted, attempts,
    extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
FROM tenancy.oauth_revocations WHERE tenant_id = $1 AND id = $2
