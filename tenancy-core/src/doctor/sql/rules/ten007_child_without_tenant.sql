-- role: operator
-- Tables without a tenant column that refer to a tenant table, and that the app reaches.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT DISTINCT c.oid::regclass::text AS object,
    format('its rows belong to rows of %s, but nothing says to which tenant', k.confrelid::regclass) AS detail,
    format('ALTER TABLE %s ADD COLUMN tenant_id uuid; -- fill it, SET NOT NULL, then SELECT tenancy.protect_table(%L);',
        c.oid::regclass, c.oid::regclass) AS fix
FROM pg_catalog.pg_constraint k
JOIN unnest($1::oid[], $2::int2[]) AS parent (rel, col) ON parent.rel = k.confrelid
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relkind IN ('r', 'p')
WHERE k.contype = 'f' AND c.oid <> ALL ($1::oid[])
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role)
      WHERE has_any_column_privilege(app.role, c.oid, 'SELECT, INSERT, UPDATE')
         OR has_table_privilege(app.role, c.oid, 'DELETE'))
ORDER BY 1, 2
