-- role: app
-- A page of the members who hold a permission now, with the roles that give it to them.
-- $1 tenant, $2 permission, $3 after this user (or NULL), $4 limit.
-- Indexes: role_permissions_permission, member_roles_role.
SELECT r.user_id, array_agg(r.role_key ORDER BY r.role_key) AS roles
FROM tenancy.role_permissions g
JOIN tenancy.effective_roles r ON r.tenant_id = g.tenant_id AND r.role_key = g.role_key
WHERE g.tenant_id = $1 AND g.permission_key = $2 AND ($3::uuid IS NULL OR r.user_id > $3)
GROUP BY r.user_id
ORDER BY r.user_id
LIMIT $4
