-- role: operator
-- Tables, views and functions of the family's schemas that neither tenancy_owner nor tenancy_definer owns.
-- No parameters.
SELECT found.name AS object,
    format('its owner is `%s`', found.owner::regrole) AS detail,
    format('ALTER %s %s OWNER TO tenancy_owner;', found.kind, found.name) AS fix
FROM (
    SELECT c.oid::regclass::text AS name, c.relowner AS owner,
        CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace IN (to_regnamespace('tenancy'), to_regnamespace('util'))
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL
    SELECT f.oid::regprocedure::text, f.proowner, 'FUNCTION'
    FROM pg_catalog.pg_proc f
    WHERE f.pronamespace IN (to_regnamespace('tenancy'), to_regnamespace('util')) AND NOT f.prosecdef
) AS found
WHERE found.owner::regrole::text NOT IN ('tenancy_owner', 'tenancy_definer')
ORDER BY 1
