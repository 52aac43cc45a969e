-- role: operator
-- SECURITY DEFINER functions with an empty search_path and a body that is read anew in each session:
-- names of types in it are looked up in pg_temp before pg_catalog.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    'its search_path is empty: a temporary domain named like a type it uses runs code as its owner' AS detail,
    format('ALTER %s %s SET search_path = pg_catalog, pg_temp;',
        CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND f.prosqlbody IS NULL AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND 'search_path=""' = ANY (f.proconfig)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
ORDER BY 1
