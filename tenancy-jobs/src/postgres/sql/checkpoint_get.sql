-- role: app
-- Where a batch goes on. $1 tenant, $2 job. Index: primary key of job_progress.
SELECT done, total, cursor FROM tenancy.job_progress WHERE tenant_id = $1 AND job_id = $2
