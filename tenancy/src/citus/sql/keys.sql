-- role: operator
-- Foreign keys among the planned tables. One can't stand while its tables are distributed one after the
-- other. `kept` says whether it can stand afterwards: what is distributed may refer to what is distributed
-- by the tenant of both, and to what is the same on every node; never the other way round.
-- $1, $2: tables and their places.
WITH planned AS (
    SELECT * FROM unnest($1::oid[], $2::text[]) AS p (rel, place)
)
SELECT format('%I.%I', n.nspname, c.relname) AS table_name,
    quote_ident(pg_get_userbyid(c.relowner)) AS owner,
    quote_ident(k.conname) AS name,
    pg_get_constraintdef(k.oid) AS definition,
    CASE child.place
        WHEN 'distributed' THEN parent.place IN ('distributed', 'shared')
        WHEN 'shared' THEN parent.place = 'shared'
        WHEN 'lookup' THEN parent.place = 'shared'
        ELSE parent.place = 'local'
    END AS kept,
    child.place = 'local' AND parent.place = 'local' AS untouched,
    format('a %s table refers to a %s one', child.place, parent.place) AS why,
    format('%I.%I', s.nspname, r.relname) AS referred
FROM pg_catalog.pg_constraint k
JOIN planned child ON child.rel = k.conrelid
JOIN planned parent ON parent.rel = k.confrelid
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY n.nspname <> 'tenancy', n.nspname, c.relname, k.conname
