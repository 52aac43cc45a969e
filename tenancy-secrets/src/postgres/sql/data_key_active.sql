-- role: app
-- The key that seals for the tenant now.
-- $1 tenant. Index: tenant_data_keys_active.
SELECT key_id, state, kek_id, wrapped
FROM tenancy.tenant_data_keys
WHERE tenant_id = $1 AND state = 'active'
