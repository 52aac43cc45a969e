-- role: operator
-- Functions that reach across tenants, and that the app may call.
-- $1: the closed list. $2: roles of the app.
SELECT f.oid::regprocedure::text AS object,
    format('it reaches across tenants, and `%s` may call it', app.role::regrole) AS detail,
    format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %s;', f.oid::regprocedure, app.role::regrole) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
CROSS JOIN unnest($2::oid[]) AS app (role)
WHERE n.nspname IN ('tenancy', 'util') AND f.proname = ANY ($1::text[])
  AND has_function_privilege(app.role, f.oid, 'EXECUTE')
ORDER BY 1, 2
