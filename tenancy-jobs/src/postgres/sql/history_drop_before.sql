-- role: operator
-- Drops the months that lie more than $1 months back; answers how many.
SELECT tenancy.job_history_drop_before((date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1))::date)
