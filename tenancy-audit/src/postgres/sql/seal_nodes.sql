-- role: app
-- What is stored of the tree over the seals beside some of them. Parameters: tenant, numbers. Index: primary key.
SELECT number, hash, frontier FROM tenancy.audit_seals WHERE tenant_id = $1 AND number = ANY ($2)
