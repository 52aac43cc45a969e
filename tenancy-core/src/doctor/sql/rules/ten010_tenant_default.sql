-- role: operator
-- Tenant columns whose default is anything but the tenant of the transaction.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', t.rel::regclass, a.attname) AS object,
    format('its default is %s', pg_get_expr(d.adbin, d.adrelid)) AS detail,
    format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT;', t.rel::regclass, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_attrdef d ON d.adrelid = t.rel AND d.adnum = t.col
WHERE pg_get_expr(d.adbin, d.adrelid) <> 'util.current_tenant()'
  AND t.rel <> to_regclass('tenancy.tenants')
ORDER BY 1
