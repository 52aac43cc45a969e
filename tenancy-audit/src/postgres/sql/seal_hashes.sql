-- role: app
-- The hashes of a tenant's seals from the first one on. Parameters: tenant, up to which number.
-- Index: primary key.
SELECT hash FROM tenancy.audit_seals WHERE tenant_id = $1 AND number <= $2 ORDER BY number
