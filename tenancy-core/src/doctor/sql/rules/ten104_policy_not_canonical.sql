-- role: operator
-- Policies that reach the app, and whose condition is not `<tenant column> = util.current_tenant()`,
-- alone or as the first part of a conjunction. Postgres writes every operand of AND in parentheses, so
-- that the first characters of the text settle what the outermost operator is.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('policy `%s`: %s is %s', p.polname, part.name, part.condition) AS detail,
    format('ALTER POLICY %I ON %s %s (%I = util.current_tenant());', p.polname, t.rel::regclass, part.name, a.attname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
CROSS JOIN LATERAL (VALUES
    ('USING', pg_get_expr(p.polqual, p.polrelid)),
    ('WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid))
) AS part (name, condition)
WHERE p.polpermissive AND part.condition <> 'true'
  AND EXISTS (
      SELECT FROM unnest(p.polroles) AS bound (role)
      CROSS JOIN unnest($3::oid[]) AS app (role)
      WHERE CASE WHEN bound.role = 0 THEN true ELSE pg_has_role(app.role, bound.role, 'USAGE') END)
  AND part.condition <> format('(%I = util.current_tenant())', a.attname)
  AND NOT starts_with(part.condition, format('((%I = util.current_tenant()) AND ', a.attname))
ORDER BY 1, 2
