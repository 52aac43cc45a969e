-- role: worker
-- Forgets keys of all tenants that are older than so many days.
-- Parameters: days, rows at most.
SELECT tenancy.audit_forget_keys($1, $2)
