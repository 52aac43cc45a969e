-- role: operator
-- Policies that bind every role instead of the app's.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('policy `%s` is TO PUBLIC', p.polname) AS detail,
    format('ALTER POLICY %I ON %s TO tenancy_app;', p.polname, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
WHERE 0::oid = ANY (p.polroles)
ORDER BY 1, 2
