-- role: app
-- Ends a refresh: `ok`, `key_retired`, or `stale` if the lease was lost.
-- $1 connection, $2 fence, $3 generation, $4 how long the token lives or NULL, $5 scopes or NULL,
-- $6 key, $7 to $9 id, version and envelope of the access token, $10 to $12 of the refresh token,
-- whose envelope is NULL where the old one stays. Index: primary keys.
SELECT tenancy.commit_oauth_refresh($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
