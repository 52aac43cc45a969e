-- role: operator
-- Unique indexes that hold the tenant column, but not in the first place.
-- $1, $2: tenant tables and their tenant columns.
SELECT i.indexrelid::regclass::text AS object,
    format('%I stands behind other columns', a.attname) AS detail,
    format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (%I, …); -- then drop %s', t.rel::regclass, a.attname, i.indexrelid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND NOT c.relispartition
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_index i ON i.indrelid = t.rel AND i.indisunique
WHERE i.indkey[0] <> t.col AND t.col = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
ORDER BY 1
