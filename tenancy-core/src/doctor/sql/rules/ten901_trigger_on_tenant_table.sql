-- role: operator
-- Triggers on tenant tables.
-- $1, $2: tenant tables and their tenant columns.
SELECT t.rel::regclass::text AS object,
    format('trigger `%s`', g.tgname) AS detail,
    format('DROP TRIGGER %I ON %s;', g.tgname, t.rel::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.rel AND NOT g.tgisinternal AND g.tgparentid = 0
ORDER BY 1, 2
