-- role: operator
-- As which roles the operator's login can act.
-- No parameters.
SELECT current_user::text AS login,
    pg_has_role('tenancy_app', 'SET') AS may_become_app,
    pg_has_role('tenancy_app', 'MEMBER WITH ADMIN OPTION') AS may_grant_app,
    pg_has_role('tenancy_definer', 'SET') AS may_become_definer,
    pg_has_role('tenancy_owner', 'SET') AS may_become_owner
