-- role: app
-- How many seals a tenant has. Parameters: tenant. Index: primary key.
SELECT coalesce(max(number), 0) FROM tenancy.audit_seals WHERE tenant_id = $1
