-- role: operator (tenancy_owner)
-- Whether a tenant's log is under a legal hold. Parameters: tenant.
SELECT tenancy.audit_is_held($1)
