-- role: operator
-- Roles that may create objects in the family's schemas, beside the two that own what is in them.
-- No parameters.
SELECT n.nspname::text AS object,
    format('%s may create objects in it', CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE format('`%s`', acl.grantee::regrole) END) AS detail,
    format('REVOKE CREATE ON SCHEMA %I FROM %s;', n.nspname,
        CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END) AS fix
FROM pg_catalog.pg_namespace n
CROSS JOIN aclexplode(n.nspacl) acl
WHERE n.nspname IN ('tenancy', 'util') AND acl.privilege_type = 'CREATE'
  AND (acl.grantee = 0 OR acl.grantee::regrole::text NOT IN ('tenancy_owner', 'tenancy_definer'))
ORDER BY 1, 2
