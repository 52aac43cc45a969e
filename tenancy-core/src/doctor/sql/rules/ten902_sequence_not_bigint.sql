-- role: operator
-- Columns of tenant tables that count in a sequence narrower than bigint.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', t.rel::regclass, a.attname) AS object,
    format('its sequence is of type %s', format_type(s.seqtypid, NULL)) AS detail,
    format('ALTER SEQUENCE %s AS bigint; ALTER TABLE %s ALTER COLUMN %I TYPE bigint;', s.seqrelid::regclass, t.rel::regclass, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.rel
    AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = d.refobjsubid
WHERE s.seqtypid <> 'pg_catalog.int8'::regtype
ORDER BY 1
