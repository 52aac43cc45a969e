-- role: app
-- What a role grants, sorted; no row if there is no such role. $1 tenant, $2 role.
-- Indexes: primary keys of roles and role_permissions.
SELECT ARRAY(
    SELECT g.permission_key FROM tenancy.role_permissions g
    WHERE g.tenant_id = $1 AND g.role_key = $2
    ORDER BY g.permission_key
)
FROM tenancy.roles r
WHERE r.tenant_id = $1 AND r.key = $2
