-- role: operator
-- Where each table goes. `distributed`: it holds tenants' rows, and every key of it holds the tenant.
-- `lookup`: it finds a tenant by something that is unique over all of them, so that it is the same on
-- every node. `shared`: it belongs to no tenant, and tenants' rows refer to it or are read with it.
-- `local`: workers claim its rows across tenants, or nothing of a tenant touches it: it stays on the
-- coordinator. Tables of the host count where they are protected, or where a protected one refers to them.
WITH tenant AS (
    SELECT p.polrelid AS rel, min(a.attnum) AS col
    FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_attribute a ON a.attrelid = p.polrelid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE p.polname = 'owner_select'
      AND pg_get_expr(p.polqual, p.polrelid) = format('(%I = util.current_tenant())', a.attname)
    GROUP BY p.polrelid
), family AS (
    SELECT c.oid AS rel, c.relname FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'tenancy'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
), bound AS (
    SELECT DISTINCT u.rel
    FROM pg_catalog.pg_constraint k
    CROSS JOIN unnest(ARRAY[k.conrelid, k.confrelid]) AS u (rel)
    WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
), named AS (
    SELECT f.oid AS func, t.rel, f.prosrc ~ 'SKIP LOCKED' AS claims,
        f.prosecdef AND has_function_privilege('tenancy_worker', f.oid, 'EXECUTE') AS of_worker
    FROM pg_catalog.pg_proc f
    JOIN family t ON f.prosrc ~ ('\mtenancy\.' || t.relname || '\M')
    WHERE f.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace)
), claimed AS (
    SELECT DISTINCT n.rel FROM named n
    WHERE n.of_worker AND n.claims AND n.rel NOT IN (SELECT rel FROM bound)
), local AS (
    -- What any function touches together with claimed rows.
    SELECT DISTINCT other.rel
    FROM named n JOIN claimed USING (rel) JOIN named other ON other.func = n.func
    WHERE other.rel NOT IN (SELECT rel FROM bound)
), together AS (
    -- What is read in one function with tenants' rows.
    SELECT DISTINCT n.rel
    FROM named n JOIN named other ON other.func = n.func JOIN tenant ON tenant.rel = other.rel
    WHERE n.rel NOT IN (SELECT rel FROM tenant)
)
SELECT c.oid AS rel,
    format('%I.%I', n.nspname, c.relname) AS name,
    quote_literal(format('%I.%I', n.nspname, c.relname)) AS literal,
    quote_ident(pg_get_userbyid(c.relowner)) AS owner,
    quote_literal(a.attname) AS tenant_column,
    c.relforcerowsecurity AS forced,
    ARRAY(SELECT i.indexrelid::regclass::text FROM pg_catalog.pg_index i
        WHERE i.indrelid = c.oid AND i.indisunique AND n.nspname = 'tenancy') AS keys_of_family,
    CASE
        WHEN c.oid IN (SELECT rel FROM local) THEN 'local'
        WHEN tenant.rel IS NULL AND (c.oid IN (SELECT rel FROM bound) OR c.oid IN (SELECT rel FROM together)) THEN 'shared'
        WHEN tenant.rel IS NULL THEN 'local'
        WHEN EXISTS (
            SELECT FROM pg_catalog.pg_index i
            WHERE i.indrelid = c.oid AND i.indisunique AND tenant.col <> ALL ((i.indkey::int2[])[0:i.indnkeyatts - 1])) THEN 'lookup'
        ELSE 'distributed'
    END AS place
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN tenant ON tenant.rel = c.oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = tenant.col
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND (n.nspname = 'tenancy' OR tenant.rel IS NOT NULL OR EXISTS (
      SELECT FROM pg_catalog.pg_constraint k JOIN tenant child ON child.rel = k.conrelid
      WHERE k.contype = 'f' AND k.confrelid = c.oid))
-- The first one distributed is the one that all others stand beside.
ORDER BY c.oid = to_regclass('tenancy.tenants') DESC, n.nspname <> 'tenancy', n.nspname, c.relname
