-- role: app
-- What stands before any role: the registry, the tenant and the membership. One row.
-- $1 tenant, $2 user, $3 permission. Indexes: primary keys of permissions, tenants, memberships.
SELECT EXISTS (SELECT FROM tenancy.permissions WHERE key = $3) AS is_registered,
    EXISTS (
        SELECT FROM tenancy.tenants
        WHERE id = $1 AND status IN ('active', 'suspended_read_only')
    ) AS tenant_open,
    (SELECT status FROM tenancy.memberships WHERE tenant_id = $1 AND user_id = $2) AS member_status
