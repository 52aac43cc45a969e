-- role: operator
-- Tenant tables without a whole index that begins with the tenant column.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('no index begins with %I: every policy scans the whole table', a.attname) AS detail,
    format('CREATE INDEX CONCURRENTLY ON %s (%I);', t.rel::regclass, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND NOT c.relispartition
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = t.rel AND i.indkey[0] = t.col AND i.indisvalid AND i.indpred IS NULL)
ORDER BY 1
