-- role: app
-- Wakes the workers of a queue in all processes. $1 queue.
SELECT pg_notify('tenancy_jobs', $1)
