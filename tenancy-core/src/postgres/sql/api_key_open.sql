-- role: app
-- Whose key it is, and whether it can be used. $1 hash of the key. Index: primary key of
-- api_key_hashes.
SELECT tenant_id, id, permissions, state
FROM tenancy.open_api_key($1)
