-- role: operator (tenancy_owner)
-- The next tenants with entries that lie in the partition of no month. Parameters: older than; the tenant behind which
-- to go on; how many at most.
SELECT tenancy.audit_stray_tenants($1, $2, $3)
