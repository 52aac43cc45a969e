-- role: operator
-- Unique indexes on one uuid without the tenant, on tables that the app writes.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT i.indexrelid::regclass::text AS object,
    format('the key of %s is a uuid without the tenant', t.rel::regclass) AS detail,
    format('ALTER TABLE %s ADD UNIQUE (%I, %I); -- refer to this key, then make it the primary key',
        t.rel::regclass, a.attname, k.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND NOT c.relispartition
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_index i ON i.indrelid = t.rel AND i.indisunique AND i.indnkeyatts = 1
JOIN pg_catalog.pg_attribute k ON k.attrelid = t.rel AND k.attnum = i.indkey[0] AND k.atttypid = 'pg_catalog.uuid'::regtype
WHERE k.attnum <> t.col
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role) WHERE has_any_column_privilege(app.role, t.rel, 'INSERT, UPDATE'))
ORDER BY 1
