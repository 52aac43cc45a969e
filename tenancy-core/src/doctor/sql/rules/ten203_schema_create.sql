-- role: operator
-- Schemas in which the app may create objects.
-- $1: roles of the app.
SELECT n.nspname::text AS object,
    format('`%s` may create objects in this schema', app.role::regrole) AS detail,
    format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %s;', n.nspname, app.role::regrole) AS fix
FROM pg_catalog.pg_namespace n
CROSS JOIN unnest($1::oid[]) AS app (role)
WHERE n.nspname !~ '^pg_' AND has_schema_privilege(app.role, n.oid, 'CREATE')
ORDER BY 1, 2
