-- role: worker
-- Data keys that another key than the primary one wrapped.
-- $1 primary key, $2 tenant and $3 key to go on behind, or NULL, $4 rows. Index: primary key.
SELECT tenant_id, key_id, kek_id, wrapped FROM tenancy.data_keys_to_rewrap($1, $2, $3, $4)
