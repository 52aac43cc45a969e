-- role: app
-- One key. $1 tenant, $2 key. Index: primary key of api_keys.
SELECT id, name, prefix, permissions, created_by, created_at, expires_at, last_used_at, revoked_at, rotated_to
FROM tenancy.api_keys
WHERE tenant_id = $1 AND id = $2
