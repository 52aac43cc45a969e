-- role: operator
-- Helpers that read the transaction's context, and that the planner can't inline.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    concat_ws(', ',
        CASE WHEN f.prosecdef THEN 'it is SECURITY DEFINER' END,
        CASE WHEN f.proconfig IS NOT NULL THEN 'it has a SET clause' END,
        CASE WHEN l.lanname <> 'sql' THEN 'its language is ' || l.lanname END,
        CASE WHEN f.provolatile <> 's' THEN 'it is not STABLE' END,
        CASE WHEN f.proparallel <> 's' THEN 'it is not PARALLEL SAFE' END,
        CASE WHEN f.proisstrict THEN 'it is STRICT' END) AS detail,
    format('ALTER FUNCTION %s SECURITY INVOKER STABLE PARALLEL SAFE CALLED ON NULL INPUT RESET ALL;', f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_language l ON l.oid = f.prolang
WHERE f.pronamespace = to_regnamespace('util') AND f.proname ~ '^current_'
  AND (f.prosecdef OR f.proconfig IS NOT NULL OR l.lanname <> 'sql' OR f.provolatile <> 's'
       OR f.proparallel <> 's' OR f.proisstrict)
ORDER BY 1
