-- role: worker
-- Sets a tenant's share. $1 tenant, $2 weight, $3 most in flight or NULL, $4 paused.
SELECT tenancy.job_policy_set($1, $2, $3, $4)
