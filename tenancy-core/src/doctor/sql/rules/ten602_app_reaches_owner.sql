-- role: operator
-- Roles of the app that own tenant tables, or can become a role that does or that reaches across tenants.
-- $1, $2: tenant tables and their tenant columns.
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
    CASE
        WHEN becomes.role <> becomes.reached THEN format('it can become `%s`', r.rolname)
        ELSE format('it owns %s', (
            SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text)
            FROM unnest($1::oid[], $2::int2[]) AS t (rel, col) JOIN pg_catalog.pg_class c ON c.oid = t.rel
            WHERE c.relowner = r.oid)) END AS detail,
    CASE
        WHEN becomes.role <> becomes.reached THEN format('REVOKE %s FROM %s;', becomes.reached::regrole, becomes.role::regrole)
        ELSE format('REASSIGN OWNED BY %s TO tenancy_owner;', becomes.role::regrole) END AS fix
FROM becomes
JOIN pg_catalog.pg_roles r ON r.oid = becomes.reached
WHERE r.rolname IN ('tenancy_owner', 'tenancy_definer', 'tenancy_worker')
   OR EXISTS (
       SELECT FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
       JOIN pg_catalog.pg_class c ON c.oid = t.rel AND c.relowner = r.oid)
ORDER BY 1, 2
