-- role: app
-- Takes the lease on a connection and writes the attempt down before the provider is called. Nothing
-- is refreshed for a tenant that is suspended.
-- $1 tenant, $2 connection, $3 owner, $4 generation, $5 seconds of the lease. Index: primary key.
UPDATE tenancy.oauth_connections
SET lease_owner = $3, lease_until = clock_timestamp() + make_interval(secs => $5), fence = fence + 1,
    open_attempts = open_attempts + 1, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND status = 'connected' AND generation = $4
  AND (lease_until IS NULL OR lease_until <= clock_timestamp())
  AND EXISTS (SELECT FROM tenancy.tenants t WHERE t.id = $1 AND t.status = 'active')
RETURNING fence, open_attempts
