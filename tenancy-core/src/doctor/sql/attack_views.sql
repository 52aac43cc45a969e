-- role: operator
-- Views over tenant tables that show a tenant column and that the app may use, each with the table that its
-- rows come from, if that is one.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
WITH RECURSIVE seen AS (
    SELECT r.ev_class AS rel, t.rel AS base, a.attname
    FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
    JOIN pg_catalog.pg_depend d ON d.refobjid = t.rel
        AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> t.rel
    WHERE t.rel <> to_regclass('tenancy.tenants')
    UNION
    SELECT r.ev_class, seen.base, seen.attname
    FROM seen
    JOIN pg_catalog.pg_depend d ON d.refobjid = seen.rel
        AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> seen.rel
)
SELECT v.oid AS rel,
    format('%I.%I', n.nspname, v.relname) AS name,
    min(a.attname::text) AS column_name,
    CASE WHEN count(DISTINCT seen.base) = 1 THEN min(seen.base) END AS base
FROM seen
JOIN pg_catalog.pg_class v ON v.oid = seen.rel AND v.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = v.oid AND a.attname = seen.attname AND a.atttypid = 'pg_catalog.uuid'::regtype
WHERE EXISTS (
    SELECT FROM unnest($3::oid[]) AS app (role)
    WHERE has_any_column_privilege(app.role, v.oid, 'SELECT, INSERT, UPDATE')
       OR has_table_privilege(app.role, v.oid, 'DELETE'))
GROUP BY v.oid, n.nspname, v.relname
ORDER BY v.oid
