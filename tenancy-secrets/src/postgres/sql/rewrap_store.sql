-- role: worker
-- Replaces how a data key is wrapped, if nobody else did.
-- $1 tenant, $2 key, $3 old wrapping key, $4 new one, $5 wrapped key. Index: primary key.
SELECT tenancy.rewrap_data_key($1, $2, $3, $4, $5)
