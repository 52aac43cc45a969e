-- role: app
-- The newest invitations. $1 tenant, $2 limit. Index: primary key of invitations (ids sort by time).
SELECT id, email, role_keys, status, expires_at
FROM tenancy.invitations
WHERE tenant_id = $1
ORDER BY id DESC
LIMIT $2
