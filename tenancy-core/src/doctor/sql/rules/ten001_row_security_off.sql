-- role: operator
-- Tenant tables without row-level security.
-- $1, $2: tenant tables and their tenant columns.
SELECT c.oid::regclass::text AS object,
    format('row-level security is off, and its column %I tells tenants apart', a.attname) AS detail,
    CASE
        WHEN EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid)
            THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', c.oid::regclass)
        WHEN a.attname = 'tenant_id' THEN format('SELECT tenancy.protect_table(%L);', c.oid::regclass)
        ELSE format('SELECT tenancy.protect_table(%L, p_tenant_column => %L);', c.oid::regclass, a.attname)
    END AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
WHERE NOT c.relrowsecurity AND NOT c.relispartition
ORDER BY 1
