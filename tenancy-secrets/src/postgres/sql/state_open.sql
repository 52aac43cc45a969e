-- role: app
-- Remembers the state of a connection that is being made: `ok`, `key_retired` or `too_many`.
-- $1 hash of the state, $2 id, $3 provider, $4 scopes, $5 where to return, $6 hash of the browser's
-- secret, $7 connection or NULL, $8 sealed verifier, $9 key, $10 how long it is valid, $11 how many
-- a user may have open. Index: oauth_states_expiry.
SELECT tenancy.open_oauth_state($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
