-- role: app
-- Invites many to the same roles. $1 ids, $2 addresses as typed, $3 normalised, $4 hashes of the
-- tokens, $5 roles, $6 validity, $7 how many may be pending, $8 how often an hour an address is
-- written to. Answers a word for each, and when it expires.
SELECT outcome, expires_at FROM tenancy.create_invitations($1, $2, $3, $4, $5, $6, $7, $8)
