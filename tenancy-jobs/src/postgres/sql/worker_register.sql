-- role: worker
-- Puts a worker on the list. $1 id, $2 queue, $3 name, $4 milliseconds until it counts as dead.
SELECT tenancy.job_worker_register($1, $2, $3, $4)
