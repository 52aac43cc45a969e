-- role: operator
-- SECURITY DEFINER functions that every login may call.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    format('every login may call it with the rights of `%s`', f.proowner::regrole) AS detail,
    format('REVOKE EXECUTE ON %s %s FROM PUBLIC;',
        CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  -- Without arguments and as a trigger it can't be called by hand.
  AND f.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
  AND EXISTS (
      SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) acl WHERE acl.grantee = 0)
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
ORDER BY 1
