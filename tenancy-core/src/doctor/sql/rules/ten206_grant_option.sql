-- role: operator
-- Privileges on tenant tables that the app may pass on.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('`%s` may grant %s to others', acl.grantee::regrole, string_agg(DISTINCT acl.privilege_type, ', ')) AS detail,
    format('REVOKE GRANT OPTION FOR ALL ON %s FROM %s CASCADE;', t.rel::regclass, acl.grantee::regrole) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
CROSS JOIN aclexplode(c.relacl) acl
WHERE acl.is_grantable AND acl.grantee = ANY ($3::oid[])
GROUP BY t.rel, acl.grantee
ORDER BY 1, 2
