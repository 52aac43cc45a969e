-- role: operator
-- Indexes of tenant tables whose first column is searched only by operators that are not leakproof.
-- Indexes that order (vectors) or keep something unique serve all the same.
-- $1, $2: tenant tables and their tenant columns.
SELECT i.indexrelid::regclass::text AS object,
    format('its operators are not leakproof, so that policies keep the planner from using it on %s', t.rel::regclass) AS detail,
    format('DROP INDEX CONCURRENTLY %s; -- and search in a function of tenancy_definer that holds the tenant''s condition', i.indexrelid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND c.relrowsecurity AND NOT c.relispartition
JOIN pg_catalog.pg_index i ON i.indrelid = t.rel AND NOT i.indisunique AND NOT i.indisexclusion
JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[0]
WHERE EXISTS (
    SELECT FROM pg_catalog.pg_amop o
    WHERE o.amopfamily = oc.opcfamily AND o.amoplefttype = oc.opcintype AND o.amoppurpose = 's')
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_amop o
    JOIN pg_catalog.pg_operator op ON op.oid = o.amopopr
    JOIN pg_catalog.pg_proc f ON f.oid = op.oprcode
    WHERE o.amopfamily = oc.opcfamily AND o.amoplefttype = oc.opcintype AND o.amoppurpose = 's' AND f.proleakproof)
ORDER BY 1
