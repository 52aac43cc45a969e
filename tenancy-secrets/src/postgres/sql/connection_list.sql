-- role: app
-- The tenant's connections, the newest last; those that were disconnected too.
-- $1 tenant, $2 id to go on behind or NULL, $3 rows. Index: primary key.
SELECT c.id, c.provider, c.status, c.status_reason, c.external_account_id, c.account_label, c.requested_scopes,
    c.granted_scopes, c.generation, c.access_expires_at, c.connected_by, c.created_at, c.updated_at
FROM tenancy.oauth_connections c
WHERE c.tenant_id = $1 AND ($2::uuid IS NULL OR c.id > $2)
ORDER BY c.id
LIMIT $3
