-- role: app
-- Whether the principal of the transaction holds a permission, and what is in the way otherwise.
-- $1 tenant, $2 its user (or NULL), $3 permission. Indexes: primary keys of the tables involved.
SELECT util.user_has_permission($1, $3) AS allowed,
    EXISTS (
        SELECT FROM tenancy.memberships m
        JOIN tenancy.tenants t ON t.id = m.tenant_id
        WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.status = 'active'
          AND t.status IN ('active', 'suspended_read_only')
    ) AS is_member,
    EXISTS (SELECT FROM tenancy.permissions WHERE key = $3) AS is_registered
