-- role: superuser
-- Waits for the lock $1 among all processes that use this server; held until released or the
-- connection ends.
SELECT pg_catalog.pg_advisory_lock($1)
