-- role: worker
-- A wrapped data key.
-- $1 tenant, $2 key. Index: primary key.
SELECT kek_id, wrapped FROM tenancy.wrapped_data_key($1, $2)
