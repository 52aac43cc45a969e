-- role: app
-- A data key in whatever state.
-- $1 tenant, $2 key. Index: primary key.
SELECT key_id, state, kek_id, wrapped
FROM tenancy.tenant_data_keys
WHERE tenant_id = $1 AND key_id = $2
