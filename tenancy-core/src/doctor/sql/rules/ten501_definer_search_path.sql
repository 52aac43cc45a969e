-- role: operator
-- SECURITY DEFINER functions whose caller chooses where names are looked up.
-- No parameters. Functions of extensions are their extension's business.
SELECT f.oid::regprocedure::text AS object,
    coalesce('its search_path is ' || (
        SELECT substr(s.setting, 13) FROM unnest(f.proconfig) AS s (setting) WHERE starts_with(s.setting, 'search_path=')
    ), 'it runs with the search_path of its caller') AS detail,
    format('ALTER %s %s SET search_path = pg_catalog, pg_temp;',
        CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT coalesce(f.proconfig, '{}') && ARRAY['search_path=""', 'search_path=pg_catalog, pg_temp']
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
ORDER BY 1
