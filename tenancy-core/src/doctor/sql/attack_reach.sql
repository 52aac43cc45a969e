-- role: operator
-- As which of the family's roles the operator's login can act.
-- No parameters.
SELECT current_user::text AS login,
    ARRAY(
        SELECT r.rolname::text FROM pg_catalog.pg_roles r
        WHERE r.rolname IN ('tenancy_app', 'tenancy_definer', 'tenancy_owner') AND pg_has_role(r.oid, 'SET')
    ) AS becomes,
    pg_has_role('tenancy_app', 'MEMBER WITH ADMIN OPTION') AS may_grant_app
