-- role: worker
-- The tenants that have a data key, in order.
-- $1 tenant to go on behind or NULL, $2 rows. Index: tenant_data_keys_active.
SELECT * FROM tenancy.tenants_with_data_keys($1, $2)
