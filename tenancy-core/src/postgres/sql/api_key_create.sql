-- role: app
-- Stores a key. $1 id, $2 name, $3 what is shown of it, $4 permissions, $5 hash, $6 validity,
-- $7 how many usable keys a tenant may have. Answers with a word.
SELECT tenancy.create_api_key($1, $2, $3, $4, $5, $6, $7)
