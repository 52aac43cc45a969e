-- role: app
-- Gives the lease back after a refresh that brought no tokens and did not end the grant.
-- $1 tenant, $2 connection, $3 fence, $4 whether nobody knows what the provider did, $5 reason,
-- $6 least and $7 most seconds until the next try. Index: primary key.
UPDATE tenancy.oauth_connections
SET lease_owner = NULL, lease_until = NULL, status_reason = $5,
    open_attempts = CASE WHEN $4 THEN open_attempts ELSE greatest(open_attempts - 1, 0) END,
    failures = failures + 1,
    retry_at = clock_timestamp() + make_interval(secs => least($7, $6 * (2 ^ least(failures, 10)))),
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND status = 'connected'
