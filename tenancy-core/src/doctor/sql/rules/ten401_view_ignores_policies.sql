-- role: operator
-- Views over tenant tables that the app reads with their owner's rights.
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
SELECT v.oid::regclass::text AS object,
    format('it reads %s with the rights of `%s`', string_agg(DISTINCT seen.base::regclass::text, ', '), v.relowner::regrole) AS detail,
    format('ALTER VIEW %s SET (security_invoker = true);', v.oid::regclass) AS fix
FROM seen
JOIN pg_catalog.pg_class v ON v.oid = seen.rel AND v.relkind = 'v'
WHERE NOT EXISTS (
    SELECT FROM pg_options_to_table(v.reloptions) o
    WHERE o.option_name = 'security_invoker' AND o.option_value IN ('true', 'on', 'yes', '1'))
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role)
      WHERE has_any_column_privilege(app.role, v.oid, 'SELECT, INSERT, UPDATE')
         OR has_table_privilege(app.role, v.oid, 'DELETE'))
GROUP BY v.oid, v.relowner
ORDER BY 1
