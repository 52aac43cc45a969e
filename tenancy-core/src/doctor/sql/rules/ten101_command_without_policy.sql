-- role: operator
-- Commands that are granted to the app, and that no policy admits.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('%s is granted to `%s`, and no policy admits it', command.name, app.role::regrole) AS detail,
    format('SELECT tenancy.protect_table(%L, %L);', t.rel::regclass, '{' || lower(command.name) || '}') AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel
CROSS JOIN (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (name, code)
CROSS JOIN unnest($3::oid[]) AS app (role)
WHERE c.relrowsecurity AND NOT c.relispartition
  AND CASE command.name
      WHEN 'DELETE' THEN has_table_privilege(app.role, t.rel, 'DELETE')
      ELSE has_any_column_privilege(app.role, t.rel, command.name) END
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_policy p
      CROSS JOIN unnest(p.polroles) AS bound (role)
      WHERE p.polrelid = t.rel AND p.polpermissive AND p.polcmd::text IN (command.code, '*')
        AND CASE WHEN bound.role = 0 THEN true ELSE pg_has_role(app.role, bound.role, 'USAGE') END)
ORDER BY 1, 2
