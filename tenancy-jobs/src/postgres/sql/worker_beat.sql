-- role: worker
-- Says that a worker lives; a row for each job it holds, or one without a job. $1 worker.
-- Index: primary key of job_workers, jobs_held.
SELECT b.known, o.tenant_id, o.id, o.attempt
FROM tenancy.job_worker_beat($1) AS b (known)
LEFT JOIN tenancy.job_worker_owns($1) o ON b.known
