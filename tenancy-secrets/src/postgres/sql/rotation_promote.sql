-- role: worker
-- Makes the run's key the one that seals.
-- $1 tenant, $2 run. Index: primary keys.
SELECT tenancy.promote_data_key($1, $2)
