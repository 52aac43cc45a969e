-- role: operator
-- Privileges on tenant tables that every login has.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('PUBLIC holds %s', string_agg(DISTINCT held.privilege_type, ', ')) AS detail,
    format('REVOKE ALL ON %s FROM PUBLIC;', t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
CROSS JOIN LATERAL (
    SELECT acl.grantee, acl.privilege_type FROM aclexplode(c.relacl) acl
    UNION
    SELECT acl.grantee, acl.privilege_type
    FROM pg_catalog.pg_attribute a CROSS JOIN aclexplode(a.attacl) acl
    WHERE a.attrelid = t.rel AND NOT a.attisdropped
) AS held
WHERE held.grantee = 0
GROUP BY t.rel
ORDER BY 1
