-- role: operator
-- Tenant tables without a primary key.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    'it has no primary key' AS detail,
    format('ALTER TABLE %s ADD PRIMARY KEY (%I, id);', t.rel::regclass, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND NOT c.relispartition
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = t.rel AND i.indisprimary)
ORDER BY 1
