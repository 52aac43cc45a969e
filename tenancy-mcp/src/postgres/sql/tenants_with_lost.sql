-- role: worker
-- Active tenants with tries whose callers are gone, the longest waiting first. $1 limit.
-- Index: mcp_invocations_leased.
SELECT tenant_id FROM tenancy.mcp_tenants_with_lost($1) AS lost (tenant_id)
