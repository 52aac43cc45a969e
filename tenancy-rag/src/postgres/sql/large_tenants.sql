-- role: operator
-- The tenants of at least $1 chunks, largest first.
SELECT tenant_id, chunks FROM tenancy.kb_large_tenants($1)
