-- role: app
-- A page of roles. $1 tenant, $2 after this key (or NULL), $3 limit.
-- Indexes: primary keys of roles and role_permissions.
SELECT r.key, r.name, r.is_system,
    (SELECT count(*) FROM tenancy.role_permissions g
        WHERE g.tenant_id = r.tenant_id AND g.role_key = r.key)::int4 AS permission_count
FROM tenancy.roles r
WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.key > $2)
ORDER BY r.key
LIMIT $3
