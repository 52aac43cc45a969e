-- role: operator
-- Exclusion constraints that span tenants, on tables that the app writes.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT format('%s.%I', t.rel::regclass, k.conname) AS object,
    'it excludes rows of other tenants' AS detail,
    format('ALTER TABLE %s DROP CONSTRAINT %I, ADD EXCLUDE USING gist (%I WITH =, …);', t.rel::regclass, k.conname, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_constraint k ON k.conrelid = t.rel AND k.contype = 'x' AND k.conparentid = 0
WHERE t.col <> ALL (k.conkey)
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role) WHERE has_any_column_privilege(app.role, t.rel, 'INSERT, UPDATE'))
ORDER BY 1
