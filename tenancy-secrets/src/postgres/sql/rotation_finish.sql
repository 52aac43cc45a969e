-- role: worker
-- Ends the run if nothing is left under another key; how many rows are left.
-- $1 tenant, $2 run. Index: integration_secrets_key.
SELECT tenancy.finish_rotation($1, $2)
