-- role: app
-- Stores a sealed value under a key that may seal: `ok`, `key_retired` or `stale`.
-- $1 id, $2 provider, $3 name, $4 field, $5 connection or NULL, $6 envelope, $7 key, $8 version,
-- $9 the generation that is replaced, 0 for a new row. Index: primary key.
SELECT tenancy.put_secret($1, $2, $3, $4, $5, $6, $7, $8, $9)
