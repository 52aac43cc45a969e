-- role: operator
-- Commands for which more than one permissive policy admits rows to the app.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT t.rel::regclass::text AS object,
    format('%s is admitted by %s', command.name, string_agg(format('`%s`', p.polname), ', ' ORDER BY p.polname)) AS detail,
    format('SELECT polname FROM pg_policy WHERE polrelid = %L::regclass; -- DROP POLICY all but one', t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
CROSS JOIN (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (name, code)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel AND p.polpermissive AND p.polcmd::text IN (command.code, '*')
WHERE EXISTS (
    SELECT FROM unnest(p.polroles) AS bound (role)
    CROSS JOIN unnest($3::oid[]) AS app (role)
    WHERE CASE WHEN bound.role = 0 THEN true ELSE pg_has_role(app.role, bound.role, 'USAGE') END)
GROUP BY t.rel, command.name
HAVING count(*) > 1
ORDER BY 1, 2
