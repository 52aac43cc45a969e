-- role: operator
-- Materialized views of tenant tables that the app may read.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
WITH RECURSIVE seen AS (
    SELECT r.ev_class AS rel, d.refobjid AS base
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    JOIN unnest($1::oid[], $2::int2[]) AS t (rel, col) ON t.rel = d.refobjid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND r.ev_class <> d.refobjid
    UNION
    SELECT r.ev_class, seen.base
    FROM seen
    JOIN pg_catalog.pg_depend d ON d.refobjid = seen.rel
        AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> seen.rel
)
SELECT m.oid::regclass::text AS object,
    format('it holds rows of %s of all tenants', string_agg(DISTINCT seen.base::regclass::text, ', ')) AS detail,
    format('REVOKE ALL ON %s FROM PUBLIC, tenancy_app;', m.oid::regclass) AS fix
FROM seen
JOIN pg_catalog.pg_class m ON m.oid = seen.rel AND m.relkind = 'm'
WHERE EXISTS (
    SELECT FROM unnest($3::oid[]) AS app (role) WHERE has_any_column_privilege(app.role, m.oid, 'SELECT'))
GROUP BY m.oid
ORDER BY 1
