-- role: operator
-- tenancy_app and every role that inherits its rights. Superusers and those that are the owner as well
-- are left out: they have every privilege, and have findings of their own.
-- No parameters.
WITH RECURSIVE app AS (
    SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'tenancy_app'
    UNION
    SELECT m.member
    FROM pg_catalog.pg_auth_members m
    JOIN app ON app.oid = m.roleid
    WHERE m.inherit_option
)
SELECT r.oid
FROM app
JOIN pg_catalog.pg_roles r ON r.oid = app.oid
WHERE NOT r.rolsuper
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_roles strong
      WHERE strong.rolname IN ('tenancy_owner', 'tenancy_definer') AND pg_has_role(r.oid, strong.oid, 'USAGE'))
ORDER BY r.rolname <> 'tenancy_app', r.rolname
