-- role: operator
-- Tenant tables whose owner is not bound by the policies.
-- $1, $2: tenant tables and their tenant columns.
SELECT c.oid::regclass::text AS object,
    format('its owner `%s` reads and writes every tenant''s rows', c.relowner::regrole) AS detail,
    format('ALTER TABLE %s FORCE ROW LEVEL SECURITY;', c.oid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
WHERE c.relrowsecurity AND NOT c.relforcerowsecurity AND NOT c.relispartition
ORDER BY 1
