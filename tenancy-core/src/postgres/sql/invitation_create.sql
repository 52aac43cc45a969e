-- role: app
-- Stores an invitation and revokes an older pending one to the same address.
-- $1 id, $2 address as typed, $3 address normalised, $4 roles, $5 hash of the token, $6 validity.
-- Answers when it expires.
SELECT tenancy.create_invitation($1, $2, $3, $4, $5, $6)
