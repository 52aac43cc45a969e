-- role: operator
-- Partitions that the app reaches without going through the partitioned table.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT c.oid::regclass::text AS object,
    format('`%s` holds %s on this partition', x.grantee, string_agg(DISTINCT x.privilege_type, ', ')) AS detail,
    format('REVOKE ALL ON %s FROM %s;', c.oid::regclass, x.grantee) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
CROSS JOIN LATERAL (
    SELECT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee, acl.privilege_type
    FROM aclexplode(c.relacl) acl
    WHERE acl.grantee = 0
       OR EXISTS (SELECT FROM unnest($3::oid[]) AS app (role) WHERE pg_has_role(app.role, acl.grantee, 'USAGE'))
) x
WHERE c.relispartition
GROUP BY c.oid, x.grantee
ORDER BY 1, 2
