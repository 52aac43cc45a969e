-- role: app
-- Epoch and rights of one user in one statement, so that they belong together. $1 tenant, $2 user,
-- $3 the epoch that is known: while that is current nothing but the epoch is read.
-- The last column is how long until the first of his roles ends by the clock.
-- Indexes: primary keys of tenant_epoch, member_roles, memberships, tenants, role_permissions, permissions.
SELECT e.epoch,
    CASE WHEN e.epoch IS DISTINCT FROM $3 THEN EXISTS (
        SELECT FROM tenancy.memberships m
        JOIN tenancy.tenants t ON t.id = m.tenant_id
        WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.status = 'active'
          AND t.status IN ('active', 'suspended_read_only')
    ) END AS is_member,
    CASE WHEN e.epoch IS DISTINCT FROM $3 THEN ARRAY(
        SELECT r.role_key FROM tenancy.effective_roles r
        WHERE r.tenant_id = $1 AND r.user_id = $2
        ORDER BY r.role_key
    ) END AS roles,
    CASE WHEN e.epoch IS DISTINCT FROM $3 THEN ARRAY(
        SELECT DISTINCT p.bit
        FROM tenancy.effective_roles r
        JOIN tenancy.role_permissions g ON g.tenant_id = r.tenant_id AND g.role_key = r.role_key
        JOIN tenancy.permissions p ON p.key = g.permission_key
        WHERE r.tenant_id = $1 AND r.user_id = $2
    ) END AS bits,
    CASE WHEN e.epoch IS DISTINCT FROM $3 THEN (
        SELECT extract(epoch FROM min(r.expires_at) - clock_timestamp())::float8
        FROM tenancy.effective_roles r
        WHERE r.tenant_id = $1 AND r.user_id = $2 AND r.expires_at < 'infinity'
    ) END AS seconds_left
FROM tenancy.tenant_epoch e
WHERE e.tenant_id = $1
