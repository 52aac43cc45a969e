-- role: operator
-- Tables without a tenant column that the app may write: what one tenant writes, all of them read.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT c.oid::regclass::text AS object,
    'it has no tenant column, and the app may write it' AS detail,
    format('REVOKE INSERT, UPDATE, DELETE ON %s FROM tenancy_app;', c.oid::regclass) AS fix
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND c.oid NOT IN (SELECT t.rel FROM unnest($1::oid[], $2::int2[]) AS t (rel, col))
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role)
      WHERE has_any_column_privilege(app.role, c.oid, 'INSERT, UPDATE')
         OR has_table_privilege(app.role, c.oid, 'DELETE'))
ORDER BY 1
