-- role: operator
-- Default privileges that hand tables to the app before anything protects them.
-- $1: roles of the app.
SELECT coalesce(n.nspname::text, 'all schemas') AS object,
    format('new tables of `%s` are granted to %s: %s', d.defaclrole::regrole,
        CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
        string_agg(acl.privilege_type, ', ' ORDER BY acl.privilege_type)) AS detail,
    format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE ALL ON TABLES FROM %s;', d.defaclrole::regrole,
        ' IN SCHEMA ' || quote_ident(n.nspname),
        CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END) AS fix
FROM pg_catalog.pg_default_acl d
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
CROSS JOIN aclexplode(d.defaclacl) acl
WHERE d.defaclobjtype = 'r' AND (acl.grantee = 0 OR acl.grantee = ANY ($1::oid[]))
GROUP BY d.oid, n.nspname, d.defaclrole, acl.grantee
ORDER BY 1, 2
