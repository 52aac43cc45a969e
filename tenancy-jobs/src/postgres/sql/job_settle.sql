-- role: app
-- Ends a try in this transaction; false if the fence is lost. $1 worker, $2 id, $3 attempt,
-- $4 outcome, $5 delay in ms, $6 result, $7 code, $8 message, $9 done, $10 total.
SELECT tenancy.job_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
