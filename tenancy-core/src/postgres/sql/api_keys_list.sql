-- role: app
-- The newest keys. $1 tenant, $2 limit. Index: primary key of api_keys (ids sort by time).
SELECT id, name, prefix, permissions, created_by, created_at, expires_at, last_used_at, revoked_at, rotated_to
FROM tenancy.api_keys
WHERE tenant_id = $1
ORDER BY id DESC
LIMIT $2
