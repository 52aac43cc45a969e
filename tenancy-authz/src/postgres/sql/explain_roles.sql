-- role: app
-- The roles a member has, then those that ended; in both, those that grant the permission first, with
-- the parent through which and the wildcard by which they do.
-- $1 tenant, $2 user, $3 permission. Indexes: primary keys of member_roles, role_permissions,
-- role_parents and role_wildcards.
SELECT r.role_key, r.expires_at,
    coalesce(r.expires_at <= statement_timestamp(), false) AS has_ended,
    EXISTS (
        SELECT FROM tenancy.role_permissions g
        WHERE g.tenant_id = r.tenant_id AND g.role_key = r.role_key AND g.permission_key = $3
    ) AS grants,
    s.through, s.pattern
FROM tenancy.member_roles r
CROSS JOIN LATERAL tenancy.grant_source(r.role_key, $3, true) s
WHERE r.tenant_id = $1 AND r.user_id = $2
ORDER BY has_ended, grants DESC, r.role_key
