-- role: operator
-- Indexes of tenant tables that were not finished.
-- $1, $2: tenant tables and their tenant columns.
SELECT i.indexrelid::regclass::text AS object,
    format('the index on %s is not valid: nothing uses it, and a unique one checks nothing that was there before', t.rel::regclass) AS detail,
    format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_index i ON i.indrelid = t.rel AND NOT i.indisvalid
ORDER BY 1
