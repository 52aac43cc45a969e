-- role: operator
-- SECURITY DEFINER functions that the worker may call, and that are not on the closed list of those
-- that reach across tenants.
-- $1: the closed list.
SELECT f.oid::regprocedure::text AS object,
    'tenancy_worker may call it, and it is not on the list of functions that reach across tenants' AS detail,
    format('REVOKE EXECUTE ON FUNCTION %s FROM tenancy_worker;', f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname IN ('tenancy', 'util') AND f.proname <> ALL ($1::text[])
  AND has_function_privilege('tenancy_worker', f.oid, 'EXECUTE')
ORDER BY 1
