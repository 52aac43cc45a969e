-- role: superuser
-- Whether the database $1 is a finished template; no row when there is no such database.
SELECT datistemplate
FROM pg_catalog.pg_database
WHERE datname = $1
