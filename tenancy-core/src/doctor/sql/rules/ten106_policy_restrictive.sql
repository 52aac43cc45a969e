-- role: operator
-- Restrictive policies.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('policy `%s` is RESTRICTIVE', p.polname) AS detail,
    format('DROP POLICY %I ON %s; -- and put its condition behind AND in the permissive policies', p.polname, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
WHERE NOT p.polpermissive
ORDER BY 1, 2
