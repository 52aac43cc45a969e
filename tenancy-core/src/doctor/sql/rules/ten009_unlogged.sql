-- role: operator
-- Tenant tables that a crash empties.
-- $1, $2: tenant tables and their tenant columns.
SELECT c.oid::regclass::text AS object,
    'the table is UNLOGGED' AS detail,
    format('ALTER TABLE %s SET LOGGED;', c.oid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
WHERE c.relpersistence = 'u'
ORDER BY 1
