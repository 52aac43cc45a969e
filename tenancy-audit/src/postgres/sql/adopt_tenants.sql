-- role: operator (tenancy_owner)
-- The next tenants with seals, where these end, and when something was signed last. Parameters: the tenant behind which
-- to go on; how many at most.
SELECT tenant_id, seals, entries, signed_at FROM tenancy.audit_adopt_tenants($1, $2)
