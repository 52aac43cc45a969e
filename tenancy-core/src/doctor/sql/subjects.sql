-- role: operator
-- The tables that hold tenants' rows, each with its tenant column: the column that a policy compares
-- with the tenant of the transaction, or one that is named like a tenant column, or the only one that
-- refers to tenancy.tenants. Partitions are listed too.
-- $1: names of tenant columns, the best first.
WITH named AS (
    SELECT c.oid AS rel, c.relispartition, c.relname, n.nspname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), compared AS (
    SELECT p.polrelid AS rel, min(a.attnum) AS col
    FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_attribute a ON a.attrelid = p.polrelid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE strpos(coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
        format('(%I = util.current_tenant())', a.attname)) > 0
    GROUP BY p.polrelid
    HAVING count(DISTINCT a.attnum) = 1
), named_so AS (
    SELECT DISTINCT ON (a.attrelid) a.attrelid AS rel, a.attnum AS col
    FROM pg_catalog.pg_attribute a
    JOIN unnest($1::text[]) WITH ORDINALITY AS wanted (name, place) ON wanted.name = a.attname
    WHERE a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, wanted.place
), referring AS (
    SELECT k.conrelid AS rel, min(k.conkey[1]) AS col
    FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'f' AND k.confrelid = to_regclass('tenancy.tenants') AND cardinality(k.conkey) = 1
    GROUP BY k.conrelid
    HAVING count(*) = 1
)
SELECT t.rel,
    a.attnum AS tenant_column,
    format('%I.%I', t.nspname, t.relname) AS table_name,
    a.attname::text AS column_name,
    t.relispartition AS is_partition
FROM named t
LEFT JOIN compared ON compared.rel = t.rel
LEFT JOIN named_so ON named_so.rel = t.rel
LEFT JOIN referring ON referring.rel = t.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = CASE
    WHEN t.rel = to_regclass('tenancy.tenants') THEN
        (SELECT i.attnum FROM pg_catalog.pg_attribute i WHERE i.attrelid = t.rel AND i.attname = 'id')
    ELSE coalesce(named_so.col, compared.col, referring.col) END
ORDER BY t.nspname, t.relname
