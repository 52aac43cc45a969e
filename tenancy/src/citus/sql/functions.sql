-- role: operator
-- Functions that the app runs for its open tenant and that read or write distributed rows or lookups as their
-- owner, with those that they call. What one user wrote in a transaction no other may read or write in it, so
-- they have to run as the app: it needs the rights that they had, within its tenant.
-- $1, $2: tables and their places.
WITH RECURSIVE planned AS (
    SELECT p.rel, p.place, c.relname
    FROM unnest($1::oid[], $2::text[]) AS p (rel, place) JOIN pg_catalog.pg_class c ON c.oid = p.rel
    WHERE c.relnamespace = 'tenancy'::regnamespace
), source AS (
    SELECT f.oid, f.proname, f.prosrc, f.prosecdef, has_function_privilege('tenancy_app', f.oid, 'EXECUTE') AS open
    FROM pg_catalog.pg_proc f
    WHERE f.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace) AND f.prosecdef
), touches AS (
    SELECT s.oid, p.rel, p.place, p.relname, v.command
    FROM source s
    JOIN planned p ON s.prosrc ~ ('\mtenancy\.' || p.relname || '\M')
    CROSS JOIN (VALUES
        ('select', '\mtenancy\.%s\M'), ('insert', '\mINSERT\s+INTO\s+tenancy\.%s\M'),
        ('update', '(\mUPDATE\s+tenancy\.%s\M|\mINSERT\s+INTO\s+tenancy\.%1$s\M[^;]*\mDO\s+UPDATE\M|\mtenancy\.%1$s\M[^;]*\mFOR\s+((NO\s+KEY\s+)?UPDATE|(KEY\s+)?SHARE)\M)'),
        ('delete', '\mDELETE\s+FROM\s+tenancy\.%s\M')) AS v (command, pattern)
    WHERE s.prosrc ~* replace(replace(v.pattern, '%1$s', p.relname), '%s', p.relname)
    UNION
    -- By way of a view.
    SELECT s.oid, p.rel, p.place, p.relname, 'select'
    FROM pg_catalog.pg_class v
    JOIN source s ON s.prosrc ~ ('\mtenancy\.' || v.relname || '\M')
    JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN planned p ON p.rel = d.refobjid
    WHERE v.relkind = 'v' AND v.relnamespace = 'tenancy'::regnamespace
), calls AS (
    SELECT a.oid AS caller, b.oid AS called
    FROM source a JOIN source b ON a.prosrc ~ ('\mtenancy\.' || b.proname || '\s*\(') AND a.oid <> b.oid
), reached AS (
    SELECT s.oid FROM source s WHERE s.open
    UNION
    SELECT c.called FROM calls c JOIN reached r ON r.oid = c.caller
), asks AS (
    -- What looks at the open tenant, and what does so by way of others. The rest finds a tenant by a hash or
    -- a name before there is one.
    SELECT s.oid FROM source s WHERE s.prosrc ~ '(util\.current_tenant\(\)|tenancy\.tenant_id\M)'
    UNION
    SELECT c.caller FROM calls c JOIN asks a ON a.oid = c.called
), stays AS (
    -- Looks beyond the open tenant on purpose; or beyond a policy that holds more than the tenant, and that
    -- the app has to keep.
    SELECT s.oid FROM source s WHERE s.oid = to_regprocedure('util.tenants_with(text)')
    UNION
    SELECT t.oid FROM touches t
    JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel AND p.polroles = ARRAY['tenancy_app'::regrole::oid]
    WHERE EXISTS (
        SELECT FROM unnest(ARRAY[pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)]) AS part (condition)
        WHERE part.condition !~ '^\(\w+ = util\.current_tenant\(\)\)$')
), inside AS (
    -- A helper that only the family calls is given the open tenant by its caller.
    SELECT s.oid FROM source s JOIN reached USING (oid)
    WHERE (s.oid IN (SELECT oid FROM asks) OR NOT s.open) AND s.oid NOT IN (SELECT oid FROM stays)
), turned AS (
    -- What reads or writes such rows, and what calls it.
    SELECT i.oid FROM inside i JOIN touches t USING (oid) WHERE t.place IN ('distributed', 'lookup')
    UNION
    SELECT i.oid FROM turned t JOIN calls c ON c.called = t.oid JOIN inside i ON i.oid = c.caller
)
SELECT 'ALTER FUNCTION ' || t.oid::regprocedure || ' SECURITY INVOKER' AS statement, 'tenancy_definer' AS role, 1 AS place
FROM turned t
UNION
SELECT 'GRANT EXECUTE ON FUNCTION ' || c.called::regprocedure || ' TO tenancy_app', 'tenancy_definer', 2
FROM turned t JOIN calls c ON c.caller = t.oid JOIN source s ON s.oid = c.called AND NOT s.open
UNION
SELECT 'GRANT SELECT ON tenancy.' || quote_ident(o.relname) || ' TO tenancy_app', 'tenancy_owner', 3
FROM turned t JOIN touches o ON o.oid = t.oid
WHERE o.place = 'shared' AND NOT has_table_privilege('tenancy_app', o.rel, 'select')
UNION
-- Whoever locks a row has to hold UPDATE on some column.
SELECT format('GRANT UPDATE (%I) ON tenancy.%I TO tenancy_app', a.attname, o.relname), 'tenancy_owner', 3
FROM turned t JOIN touches o ON o.oid = t.oid AND o.place = 'shared' AND o.command = 'update'
JOIN pg_catalog.pg_index i ON i.indrelid = o.rel AND i.indisprimary
JOIN pg_catalog.pg_attribute a ON a.attrelid = o.rel AND a.attnum = i.indkey[0]
UNION
SELECT format('SELECT tenancy.protect_table(%L, %L, %L)', format('tenancy.%I', x.relname),
        (SELECT array_agg(w.command ORDER BY w.place)
         FROM unnest('{select,insert,update,delete}'::text[]) WITH ORDINALITY AS w (command, place)
         WHERE w.command = ANY (x.wanted) OR CASE w.command
            WHEN 'delete' THEN has_table_privilege('tenancy_app', x.rel, 'delete')
            ELSE has_any_column_privilege('tenancy_app', x.rel, w.command) END),
        x.tenant_column),
    'tenancy_owner', 4
FROM (
    SELECT o.rel, o.relname, min(a.attname) AS tenant_column, array_agg(DISTINCT o.command) AS wanted
    FROM turned t JOIN touches o ON o.oid = t.oid
    JOIN pg_catalog.pg_policy p ON p.polrelid = o.rel AND p.polname = 'owner_select'
    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.rel AND a.attnum > 0 AND NOT a.attisdropped
        AND pg_get_expr(p.polqual, p.polrelid) = format('(%I = util.current_tenant())', a.attname)
    GROUP BY o.rel, o.relname
) x
ORDER BY 3, 1
