-- role: app
-- Marks a grant as dead: only a person can connect it again.
-- $1 tenant, $2 connection, $3 fence, $4 generation, $5 reason. Index: primary key.
UPDATE tenancy.oauth_connections
SET status = 'needs_reauth', status_reason = $5, lease_owner = NULL, lease_until = NULL, retry_at = NULL,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND generation = $4 AND status = 'connected'
