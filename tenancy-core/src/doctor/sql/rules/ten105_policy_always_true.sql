-- role: operator
-- Policies that reach the app and admit every row.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('policy `%s`: %s is true', p.polname, part.name) AS detail,
    format('DROP POLICY %I ON %s;', p.polname, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
CROSS JOIN LATERAL (VALUES
    ('USING', pg_get_expr(p.polqual, p.polrelid)),
    ('WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid))
) AS part (name, condition)
WHERE p.polpermissive AND part.condition = 'true'
  AND EXISTS (
      SELECT FROM unnest(p.polroles) AS bound (role)
      CROSS JOIN unnest($3::oid[]) AS app (role)
      WHERE CASE WHEN bound.role = 0 THEN true ELSE pg_has_role(app.role, bound.role, 'USAGE') END)
ORDER BY 1, 2
