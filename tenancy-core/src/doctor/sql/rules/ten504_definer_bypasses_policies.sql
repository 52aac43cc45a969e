-- role: operator
-- SECURITY DEFINER functions that the app may call, and whose owner no policy binds.
-- $1: roles of the app.
SELECT f.oid::regprocedure::text AS object,
    format('its owner `%s` %s', o.rolname,
        CASE WHEN o.rolsuper THEN 'is a superuser' ELSE 'has BYPASSRLS' END) AS detail,
    format('ALTER %s %s OWNER TO tenancy_definer;',
        CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
JOIN pg_catalog.pg_roles o ON o.oid = f.proowner
WHERE f.prosecdef AND (o.rolsuper OR o.rolbypassrls) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND EXISTS (
      SELECT FROM unnest($1::oid[]) AS app (role) WHERE has_function_privilege(app.role, f.oid, 'EXECUTE'))
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
ORDER BY 1
