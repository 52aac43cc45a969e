-- role: superuser
-- Names of all databases and whether each is a finished template, oldest first.
SELECT datname::text, datistemplate
FROM pg_catalog.pg_database
ORDER BY oid
