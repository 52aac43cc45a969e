-- role: app
-- Stores the tenant's first key; the id of the one that is active afterwards.
-- $1 key, $2 name of the wrapping key, $3 wrapped key. Index: tenant_data_keys_active.
SELECT tenancy.install_data_key($1, $2, $3)
