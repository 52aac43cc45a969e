-- role: operator (tenancy_owner)
-- Keeps everybody out of the log. No parameters.
SELECT tenancy.audit_lock_log()
