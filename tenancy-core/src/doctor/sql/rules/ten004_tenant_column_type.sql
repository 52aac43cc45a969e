-- role: operator
-- Tenant columns that are no uuid.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', c.oid::regclass, a.attname) AS object,
    format('the tenant column is of type %s', format_type(a.atttypid, a.atttypmod)) AS detail,
    format('ALTER TABLE %s ALTER COLUMN %I TYPE uuid USING %I::text::uuid;', c.oid::regclass, a.attname, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
WHERE a.atttypid <> 'pg_catalog.uuid'::regtype AND NOT c.relispartition
ORDER BY 1
