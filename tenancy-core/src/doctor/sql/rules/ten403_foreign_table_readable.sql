-- role: operator
-- Foreign tables with a tenant column that the app may read: they can have no policies.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT c.oid::regclass::text AS object,
    format('a foreign table has no policies, and its column %I tells tenants apart', a.attname) AS detail,
    format('REVOKE ALL ON %s FROM PUBLIC, tenancy_app;', c.oid::regclass) AS fix
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'f'
  AND (a.attname = 'tenant_id' OR a.attname IN (
      SELECT k.attname FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
      JOIN pg_catalog.pg_attribute k ON k.attrelid = t.rel AND k.attnum = t.col
      WHERE t.rel <> to_regclass('tenancy.tenants')))
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role)
      WHERE has_any_column_privilege(app.role, c.oid, 'SELECT, INSERT, UPDATE')
         OR has_table_privilege(app.role, c.oid, 'DELETE'))
ORDER BY 1
