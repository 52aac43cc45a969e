-- role: operator
-- How the rows of tenant tables are read and removed by the owner. Names are quoted where needed.
-- $1, $2: tenant tables and their tenant columns, without partitions.
SELECT t.rel,
    format('%I.%I', n.nspname, c.relname) AS name,
    quote_ident(a.attname) AS tenant_column,
    c.relkind = 'p' AS partitioned,
    n.nspname = 'tenancy' AS of_the_family,
    ARRAY(
        SELECT quote_ident(k.attname)
        FROM pg_catalog.pg_index i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_catalog.pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = u.attnum
        WHERE i.indrelid = t.rel AND i.indisprimary
        ORDER BY u.place) AS key_columns,
    (SELECT jsonb_agg(jsonb_build_object(
            'name', s.attname, 'quoted', quote_ident(s.attname),
            'type', format_type(s.atttypid, s.atttypmod),
            'open', has_column_privilege('tenancy_app', t.rel, s.attnum, 'SELECT')) ORDER BY s.attnum)
        FROM pg_catalog.pg_attribute s
        WHERE s.attrelid = t.rel AND s.attnum > 0 AND NOT s.attisdropped) AS columns,
    (SELECT coalesce(array_agg(admitted.command), '{}')
        FROM (VALUES ('SELECT', 'r'), ('DELETE', 'd')) AS admitted (command, code)
        WHERE has_schema_privilege('tenancy_owner', n.oid, 'USAGE')
          AND has_table_privilege('tenancy_owner', t.rel, admitted.command)
          AND (NOT c.relrowsecurity OR EXISTS (
              SELECT FROM pg_catalog.pg_policy p
              WHERE p.polrelid = t.rel AND p.polpermissive AND p.polcmd::text IN (admitted.code, '*')
                AND p.polroles && ARRAY[0::oid, 'tenancy_owner'::regrole::oid]))) AS admitted,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'to', k.confrelid::int8, 'cascades', k.confdeltype = 'c',
            'columns', (SELECT jsonb_agg(quote_ident(x.attname) ORDER BY u.place)
                FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
                JOIN pg_catalog.pg_attribute x ON x.attrelid = k.conrelid AND x.attnum = u.attnum),
            'to_columns', (SELECT jsonb_agg(quote_ident(x.attname) ORDER BY u.place)
                FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
                JOIN pg_catalog.pg_attribute x ON x.attrelid = k.confrelid AND x.attnum = u.attnum))
            ORDER BY k.conname), '[]')
        FROM pg_catalog.pg_constraint k
        WHERE k.contype = 'f' AND k.conrelid = t.rel AND k.conparentid = 0) AS refers_to
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
ORDER BY 2
