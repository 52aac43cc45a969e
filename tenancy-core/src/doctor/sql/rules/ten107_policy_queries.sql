-- role: operator
-- Policies with a subquery, other than the one question about a permission, which is asked once.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('policy `%s` has a subquery in %s', p.polname, part.name) AS detail,
    'SELECT util.user_has_permission(util.current_tenant(), ''…''); -- the one subquery that is evaluated once a statement' AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_policy p ON p.polrelid = t.rel
CROSS JOIN LATERAL (VALUES
    ('USING', pg_get_expr(p.polqual, p.polrelid)),
    ('WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid))
) AS part (name, condition)
WHERE regexp_replace(part.condition,
    '\( SELECT util\.user_has_permission\(util\.current_tenant\(\), ''[^'']*''::text\) AS user_has_permission\)', '', 'g')
    ~ '\mSELECT\M'
ORDER BY 1, 2
