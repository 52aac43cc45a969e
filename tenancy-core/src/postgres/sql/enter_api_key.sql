-- role: app
-- The state of the tenant and who made the key, if it can be used in it; no row otherwise. $1 tenant,
-- $2 key. Index: primary key of api_keys.
SELECT tenant_status, maker FROM tenancy.enter_api_key($1, $2)
