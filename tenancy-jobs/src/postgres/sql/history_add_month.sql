-- role: operator
-- Makes the partition of the month that is $1 months after this one; false if it could not.
SELECT tenancy.job_history_add_month((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => $1))::date)
