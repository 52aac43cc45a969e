-- role: superuser
-- Ends every session in the database $1, waiting up to five seconds for each.
SELECT pg_catalog.pg_terminate_backend(pid, 5000)
FROM pg_catalog.pg_stat_activity
WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()
