-- role: operator
-- Policies for roles that are neither of the family nor of the app.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('policy `%s` is TO %s', p.polname, bound.role::regrole) AS detail,
    format('DROP POLICY %I ON %s;', p.polname, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
CROSS JOIN unnest(p.polroles) AS bound (role)
WHERE bound.role <> 0 AND bound.role <> ALL ($3::oid[])
  AND bound.role::regrole::text NOT IN ('tenancy_owner', 'tenancy_definer', 'tenancy_worker')
ORDER BY 1, 2
