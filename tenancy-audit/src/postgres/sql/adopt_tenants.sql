-- role: operator (tenancy_owner)
-- The next tenants with seals, and where these end. Parameters: the tenant behind which to go on; how many at most.
SELECT tenant_id, seals, entries FROM tenancy.audit_adopt_tenants($1, $2)
