-- role: app
-- A page of roles with everything each grants, and whether by name. $1 tenant, $2 after this key (or
-- NULL), $3 limit. Indexes: primary keys of roles and role_permissions.
SELECT r.key, r.name,
    ARRAY(
        SELECT g.permission_key FROM tenancy.role_permissions g
        WHERE g.tenant_id = r.tenant_id AND g.role_key = r.key ORDER BY g.permission_key
    ) AS granted,
    ARRAY(
        SELECT g.is_direct FROM tenancy.role_permissions g
        WHERE g.tenant_id = r.tenant_id AND g.role_key = r.key ORDER BY g.permission_key
    ) AS by_name
FROM tenancy.roles r
WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.key > $2)
ORDER BY r.key
LIMIT $3
