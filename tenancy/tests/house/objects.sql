-- One line for each object of the schemas `tenancy` and `util`, in an order that does not change.
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relacl,
           pg_get_userbyid(c.relowner) AS owner
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'tenancy'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
      -- Partitions are made by the calendar.
      AND NOT c.relispartition
)
SELECT line COLLATE "C" FROM (
    SELECT format('table %s: owner %s%s%s', relname, owner,
        CASE WHEN relrowsecurity THEN ', row security' END, CASE WHEN relforcerowsecurity THEN ' forced' END) AS line
    FROM ours
    UNION ALL
    SELECT format('column %s.%s: %s%s%s', o.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN ' not null' END,
        ' default ' || pg_get_expr(d.adbin, d.adrelid))
    FROM ours o
    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s.%s: %s', o.relname, k.conname, pg_get_constraintdef(k.oid))
    FROM ours o JOIN pg_catalog.pg_constraint k ON k.conrelid = o.oid AND k.contype <> 'n'
    UNION ALL
    SELECT format('index %s: %s', o.relname, pg_get_indexdef(i.indexrelid))
    FROM ours o JOIN pg_catalog.pg_index i ON i.indrelid = o.oid
    UNION ALL
    SELECT format('policy %s.%s: %s %s to %s using %s check %s', o.relname, p.polname,
        CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,
        (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM ours o JOIN pg_catalog.pg_policy p ON p.polrelid = o.oid
    UNION ALL
    SELECT format('grant %s: %s to %s', o.relname, string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type),
        coalesce(r.rolname, 'public'))
    FROM ours o, aclexplode(o.relacl) x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
    WHERE r.rolname IS DISTINCT FROM o.owner
    GROUP BY o.relname, r.rolname
    UNION ALL
    SELECT format('grant %s.%s: %s to %s', o.relname, a.attname, x.privilege_type, coalesce(r.rolname, 'public'))
    FROM ours o
    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped,
    aclexplode(a.attacl) x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
    UNION ALL
    SELECT format('function %s.%s(%s): owner %s, %s%s%s, executed by %s, body %s', p.pronamespace::regnamespace, p.proname,
        pg_get_function_identity_arguments(p.oid), pg_get_userbyid(p.proowner),
        CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END,
        CASE p.provolatile WHEN 'i' THEN ' immutable' WHEN 's' THEN ' stable' ELSE ' volatile' END,
        ', set ' || array_to_string(p.proconfig, ' '),
        coalesce((SELECT string_agg(coalesce(r.rolname, 'public'), ', ' ORDER BY r.rolname)
            FROM aclexplode(p.proacl) x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
            WHERE r.oid IS DISTINCT FROM p.proowner), CASE WHEN p.proacl IS NULL THEN 'public' ELSE 'nobody else' END),
        left(md5(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)), 8))
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace)
) AS lines
ORDER BY 1
