-- role: operator
-- Rewrite rules on tenant tables.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('rule `%s` runs with the rights of the table''s owner', r.rulename) AS detail,
    format('DROP RULE %I ON %s;', r.rulename, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_rewrite r ON r.ev_class = t.rel
ORDER BY 1, 2
