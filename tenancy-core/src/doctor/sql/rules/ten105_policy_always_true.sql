-- role: operator
-- Policies that reach the app and admit every row.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
-- The kit's own are put right; any other is one too many.
SELECT t.rel::regclass::text AS object,
    format('policy `%s`: %s is true', p.polname, part.name) AS detail,
    CASE WHEN p.polname IN ('tenant_select', 'tenant_insert', 'tenant_update', 'tenant_delete')
        THEN format('ALTER POLICY %I ON %s %s (%I = util.current_tenant());', p.polname, t.rel::regclass, part.name, a.attname)
        ELSE format('DROP POLICY %I ON %s;', p.polname, t.rel::regclass) END AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
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
