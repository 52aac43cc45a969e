-- role: operator
-- Tenant columns that accept NULL.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', c.oid::regclass, a.attname) AS object,
    'the tenant column accepts NULL' AS detail,
    format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', c.oid::regclass, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
WHERE NOT a.attnotnull AND NOT c.relispartition
ORDER BY 1
