-- role: app
-- What a user holds now, sorted. $1 tenant, $2 user.
-- Indexes: primary keys of member_roles and role_permissions.
SELECT DISTINCT g.permission_key
FROM tenancy.effective_roles r
JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
WHERE r.tenant_id = $1 AND r.user_id = $2
ORDER BY g.permission_key
