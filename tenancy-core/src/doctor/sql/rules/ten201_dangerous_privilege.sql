-- role: operator
-- Privileges on tenant tables that row-level security does not hold back.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('`%s` holds %s', held.grantee::regrole, string_agg(DISTINCT held.privilege_type, ', ')) AS detail,
    format('REVOKE %s ON %s FROM %s;', string_agg(DISTINCT held.privilege_type, ', '), t.rel::regclass, held.grantee::regrole) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
CROSS JOIN LATERAL (
    SELECT acl.grantee, acl.privilege_type FROM aclexplode(c.relacl) acl
    UNION
    SELECT acl.grantee, acl.privilege_type
    FROM pg_catalog.pg_attribute a CROSS JOIN aclexplode(a.attacl) acl
    WHERE a.attrelid = t.rel AND NOT a.attisdropped
) AS held
WHERE held.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN') AND held.grantee <> 0
  AND EXISTS (SELECT FROM unnest($3::oid[]) AS app (role) WHERE pg_has_role(app.role, held.grantee, 'USAGE'))
GROUP BY t.rel, held.grantee
ORDER BY 1, 2
