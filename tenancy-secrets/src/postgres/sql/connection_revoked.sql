-- role: app
-- Notes how a connection ended at the provider, unless it was connected again.
-- $1 tenant, $2 connection, $3 how. Index: primary key.
UPDATE tenancy.oauth_connections SET status_reason = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND status = 'disconnected'
