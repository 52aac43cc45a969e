-- role: operator
-- The family's own roles with more than they need: attributes that get around policies, or a login for
-- the two that own everything.
-- No parameters.
SELECT r.oid::regrole::text AS object,
    'it has ' || concat_ws(', ',
        CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
        CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
        CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolcanlogin AND r.rolname IN ('tenancy_owner', 'tenancy_definer') THEN 'LOGIN' END) AS detail,
    format('ALTER ROLE %s NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION%s;', r.oid::regrole,
        CASE WHEN r.rolname IN ('tenancy_owner', 'tenancy_definer') THEN ' NOLOGIN' END) AS fix
FROM pg_catalog.pg_roles r
WHERE r.rolname IN ('tenancy_owner', 'tenancy_definer', 'tenancy_worker')
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
       OR r.rolcanlogin AND r.rolname <> 'tenancy_worker')
ORDER BY 1
