-- role: app
-- Puts a dead job of the context's tenant back; answers its queue or NULL. $1 id, $2 tries.
SELECT tenancy.job_retry($1, $2)
