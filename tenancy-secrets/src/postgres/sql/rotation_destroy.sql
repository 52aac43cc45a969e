-- role: worker
-- Destroys retired keys under which nothing is left.
-- $1 tenant, $2 how long ago they must have been retired. Index: integration_secrets_key.
SELECT tenancy.destroy_retired_keys($1, $2)
