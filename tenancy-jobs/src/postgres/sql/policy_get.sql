-- role: worker
-- A tenant's share; no row where there is no such tenant. $1 tenant. Index: primary keys.
SELECT weight, max_in_flight, paused FROM tenancy.job_policy_get($1)
