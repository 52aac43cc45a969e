-- role: app
-- What is committed, as a snapshot in the numbers that entries bear. TA001 if the log is to be adopted first.
SELECT tenancy.audit_snapshot()::text
