-- role: worker
-- Forgets old keys and moves old dead jobs to the history. $1 days, $2 most of each.
-- Index: job_keys_expired, job_dead_age.
SELECT keys, dead FROM tenancy.jobs_purge($1, $2)
