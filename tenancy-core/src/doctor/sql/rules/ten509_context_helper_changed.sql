-- role: operator
-- Whether util.current_tenant() still says what every policy relies on.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    format('its body is %s', coalesce(pg_get_function_sqlbody(f.oid), f.prosrc)) AS detail,
    'CREATE OR REPLACE FUNCTION util.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE'
        || ' RETURN nullif(current_setting(''tenancy.tenant_id'', true), '''')::uuid;' AS fix
FROM pg_catalog.pg_proc f
WHERE f.oid = to_regprocedure('util.current_tenant()')
  AND pg_get_function_sqlbody(f.oid) IS DISTINCT FROM
      'RETURN (NULLIF(current_setting(''tenancy.tenant_id''::text, true), ''''::text))::uuid'
