-- role: worker
-- Gives the jobs of dead workers back. No parameters. Index: jobs_held.
SELECT workers, jobs FROM tenancy.jobs_sweep()
