-- role: app
-- Begins to disconnect: no refresh starts any more, and one that runs can't commit.
-- $1 tenant, $2 connection, $3 whether to go on although a refresh is running. Index: primary key.
UPDATE tenancy.oauth_connections
SET status = 'disconnecting', fence = fence + 1, lease_owner = NULL, lease_until = NULL,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2 AND status <> 'disconnected'
  AND ($3 OR lease_until IS NULL OR lease_until <= clock_timestamp())
