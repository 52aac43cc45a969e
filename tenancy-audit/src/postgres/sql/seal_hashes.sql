-- role: operator (tenancy_owner)
-- The hashes of some seals. Parameters: tenant, numbers. Index: primary key.
SELECT number, hash FROM tenancy.audit_seals WHERE tenant_id = $1 AND number = ANY ($2)
