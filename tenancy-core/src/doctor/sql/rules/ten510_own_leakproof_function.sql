-- role: operator
-- Functions marked LEAKPROOF that did not come with Postgres or an extension: in a query they run
-- before the policies, on every tenant's rows.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    'it is marked LEAKPROOF, and so runs on rows before policies have filtered them' AS detail,
    format('ALTER FUNCTION %s NOT LEAKPROOF;', f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.proleakproof AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
ORDER BY 1
