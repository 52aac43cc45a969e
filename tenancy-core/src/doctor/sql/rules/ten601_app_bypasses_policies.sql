-- role: operator
-- Roles of the app that are, or can become, a superuser or a role with BYPASSRLS.
-- No parameters.
WITH RECURSIVE app AS (
    SELECT r.oid AS role, r.oid AS reached FROM pg_catalog.pg_roles r WHERE r.rolname = 'tenancy_app'
    UNION
    SELECT m.member, m.member
    FROM pg_catalog.pg_auth_members m JOIN app ON app.role = m.roleid AND app.role = app.reached
    WHERE m.inherit_option
), becomes AS (
    SELECT role, reached FROM app
    UNION
    SELECT becomes.role, m.roleid
    FROM pg_catalog.pg_auth_members m JOIN becomes ON becomes.reached = m.member
    WHERE m.inherit_option OR m.set_option
)
SELECT becomes.role::regrole::text AS object,
    format('%s%s', CASE WHEN becomes.role <> becomes.reached THEN format('it can become `%s`, which ', r.rolname) ELSE 'it ' END,
        CASE WHEN r.rolsuper THEN 'is a superuser' ELSE 'has BYPASSRLS' END) AS detail,
    CASE WHEN becomes.role = becomes.reached
        THEN format('ALTER ROLE %s NOSUPERUSER NOBYPASSRLS;', becomes.role::regrole)
        ELSE format('REVOKE %s FROM %s;', becomes.reached::regrole, becomes.role::regrole) END AS fix
FROM becomes
JOIN pg_catalog.pg_roles r ON r.oid = becomes.reached
WHERE r.rolsuper OR r.rolbypassrls
ORDER BY 1, 2
