-- role: app
-- Ends a job of the context's tenant; false if there is none that could be ended. $1 id.
SELECT tenancy.job_cancel($1)
