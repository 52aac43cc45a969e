-- role: app
-- Ends disconnecting; the row stays, for the account's next connection and the record.
-- $1 tenant, $2 connection, $3 how it ended at the provider. Index: primary key.
UPDATE tenancy.oauth_connections
SET status = 'disconnected', status_reason = $3, access_expires_at = NULL, access_obtained_at = NULL,
    granted_scopes = '{}', generation = generation + 1, retry_at = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND status = 'disconnecting'
