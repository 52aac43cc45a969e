-- role: operator (tenancy_owner)
-- The next tenants whose log was ever sealed. Parameters: the one behind which to go on; how many at most.
SELECT tenancy.audit_sealed_tenants($1, $2)
