-- role: operator
-- SECURITY DEFINER functions of the family's schemas that tenancy_definer does not own. The maker of
-- the audit log's partitions belongs to the owner of the table, and touches no row.
-- No parameters.
SELECT f.oid::regprocedure::text AS object,
    format('its owner is `%s`', f.proowner::regrole) AS detail,
    format('ALTER FUNCTION %s OWNER TO tenancy_definer;', f.oid::regprocedure) AS fix
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname IN ('tenancy', 'util')
  AND f.proowner::regrole::text <> 'tenancy_definer'
  AND (f.oid IS DISTINCT FROM to_regprocedure('tenancy.audit_make_partitions(integer)')
       OR f.proowner::regrole::text <> 'tenancy_owner')
ORDER BY 1
