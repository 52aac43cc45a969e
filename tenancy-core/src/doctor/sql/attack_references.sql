-- role: operator
-- Foreign keys that a row of a tenant table has to satisfy, and those of what they refer to.
-- $1, $2: tenant tables and their tenant columns.
WITH RECURSIVE needed AS (
    SELECT k.oid, k.conrelid, k.confrelid, k.conkey, k.confkey
    FROM pg_catalog.pg_constraint k
    JOIN unnest($1::oid[], $2::int2[]) AS t (rel, col) ON t.rel = k.conrelid
    WHERE k.contype = 'f' AND k.conparentid = 0
    UNION
    SELECT k.oid, k.conrelid, k.confrelid, k.conkey, k.confkey
    FROM needed
    JOIN pg_catalog.pg_constraint k ON k.conrelid = needed.confrelid AND k.contype = 'f' AND k.conparentid = 0
)
SELECT n.conrelid AS child,
    n.confrelid AS parent,
    (SELECT format('%I.%I', c.relnamespace::regnamespace::name, c.relname)
     FROM pg_catalog.pg_class c WHERE c.oid = n.confrelid) AS parent_name,
    pair.mine,
    pair.theirs,
    -- A key that holds a NULL refers to nothing.
    NOT bool_and(pair.not_null) AS optional
FROM needed n
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY place) AS mine, array_agg(b.attname::text ORDER BY place) AS theirs,
        bool_and(a.attnotnull) AS not_null
    FROM unnest(n.conkey, n.confkey) WITH ORDINALITY AS key (mine, theirs, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = n.conrelid AND a.attnum = key.mine
    JOIN pg_catalog.pg_attribute b ON b.attrelid = n.confrelid AND b.attnum = key.theirs
) AS pair
GROUP BY n.oid, n.conrelid, n.confrelid, pair.mine, pair.theirs
ORDER BY n.conrelid, n.oid
