-- role: app
-- Writes how far a job is in this transaction; false if the fence is lost. $1 worker, $2 id,
-- $3 attempt, $4 done, $5 total, $6 cursor.
SELECT tenancy.job_checkpoint($1, $2, $3, $4, $5, $6)
