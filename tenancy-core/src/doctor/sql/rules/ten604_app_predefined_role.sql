-- role: operator
-- Roles of the app that hold one of Postgres' own roles which reach past grants or out of the database.
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
    format('it is a member of `%s`', r.rolname) AS detail,
    format('REVOKE %s FROM %s;', r.oid::regrole, becomes.role::regrole) AS fix
FROM becomes
JOIN pg_catalog.pg_roles r ON r.oid = becomes.reached
WHERE r.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_read_server_files',
    'pg_write_server_files', 'pg_execute_server_program', 'pg_create_subscription')
ORDER BY 1, 2
