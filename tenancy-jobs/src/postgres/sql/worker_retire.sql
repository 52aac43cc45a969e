-- role: worker
-- Hands back what a worker holds and takes it off the list; answers how many. $1 worker.
SELECT tenancy.job_worker_retire($1)
