-- role: operator
-- Partitions of tenant tables that have no row-level security of their own, or do not force it.
-- $1, $2: tenant tables and their tenant columns.
SELECT c.oid::regclass::text AS object,
    CASE WHEN c.relrowsecurity THEN 'row-level security is not forced on this partition'
        ELSE 'row-level security is off on this partition' END AS detail,
    format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;', c.oid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
WHERE c.relispartition AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
ORDER BY 1
