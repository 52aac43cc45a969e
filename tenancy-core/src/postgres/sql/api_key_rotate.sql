-- role: app
-- Replaces a key. $1 the old one, $2 the new one, $3 what is shown of it, $4 its hash, $5 its
-- validity, $6 how long the old one still works, $7 how many replaced ones may still work. Answers with
-- a word.
SELECT tenancy.rotate_api_key($1, $2, $3, $4, $5, $6, $7)
