-- role: app
-- Ends a connection: no refresh starts any more, and one that runs can't commit. The row stays, for
-- the account's next connection and the record.
-- $1 tenant, $2 connection, $3 whether to go on although a refresh is running, $4 what is known of
-- its end at the provider. Index: primary key.
UPDATE tenancy.oauth_connections
SET status = 'disconnected', status_reason = $4, fence = fence + 1, lease_owner = NULL, lease_until = NULL,
    access_expires_at = NULL, access_obtained_at = NULL, granted_scopes = '{}', generation = generation + 1,
    retry_at = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND status <> 'disconnected'
  AND ($3 OR lease_until IS NULL OR lease_until <= clock_timestamp())
