-- role: operator
-- Components whose steps are not numbered without a gap from 1: a row was removed by hand.
-- No parameters.
SELECT m.component AS object,
    format('%s steps are recorded, and the last one is number %s', count(*), max(m.version)) AS detail,
    'SELECT * FROM tenancy.schema_migrations ORDER BY component, version;' AS fix
FROM tenancy.schema_migrations m
GROUP BY m.component
HAVING min(m.version) <> 1 OR max(m.version) <> count(*)
ORDER BY 1
