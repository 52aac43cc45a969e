-- role: app
-- Stores a connection that was just made, or made again.
-- $1 tenant, $2 id, $3 provider, $4 account or NULL, $5 label or NULL, $6 scopes asked for,
-- $7 scopes granted, $8 seconds until the access token ends or NULL, $9 user. Index: primary key.
INSERT INTO tenancy.oauth_connections AS c
    (tenant_id, id, provider, status, external_account_id, account_label, requested_scopes, granted_scopes,
     access_obtained_at, access_expires_at, connected_by)
VALUES ($1, $2, $3, 'connected', $4, $5, $6, $7, clock_timestamp(),
    clock_timestamp() + make_interval(secs => $8), $9)
ON CONFLICT (tenant_id, id) DO UPDATE
SET status = 'connected', status_reason = NULL, external_account_id = excluded.external_account_id,
    account_label = excluded.account_label, requested_scopes = excluded.requested_scopes,
    granted_scopes = excluded.granted_scopes, generation = c.generation + 1, fence = c.fence + 1,
    lease_owner = NULL, lease_until = NULL, open_attempts = 0, failures = 0, retry_at = NULL,
    access_obtained_at = excluded.access_obtained_at, access_expires_at = excluded.access_expires_at,
    connected_by = excluded.connected_by, updated_at = clock_timestamp()
RETURNING generation
