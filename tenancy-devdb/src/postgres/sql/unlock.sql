-- role: superuser
-- Releases the lock $1.
SELECT pg_catalog.pg_advisory_unlock($1)
