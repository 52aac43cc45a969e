-- role: operator (tenancy_owner)
-- Opens a tenant's log to the owner, who reads nothing of any tenant otherwise. Parameters: tenant.
SELECT set_config('tenancy.tenant_id', $1::uuid::text, true)
