-- role: app
-- The roles a member has that have not ended, those that grant the permission first.
-- $1 tenant, $2 user, $3 permission. Indexes: primary keys of member_roles and role_permissions.
SELECT r.role_key, r.expires_at,
    EXISTS (
        SELECT FROM tenancy.role_permissions g
        WHERE g.tenant_id = r.tenant_id AND g.role_key = r.role_key AND g.permission_key = $3
    ) AS grants
FROM tenancy.member_roles r
WHERE r.tenant_id = $1 AND r.user_id = $2
  AND (r.expires_at IS NULL OR r.expires_at > statement_timestamp())
ORDER BY grants DESC, r.role_key
