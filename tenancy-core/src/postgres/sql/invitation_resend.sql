-- role: app
-- A new token for a pending invitation. $1 id, $2 hash of the token, $3 validity, $4 how many may be
-- pending, $5 how often an hour an address is written to. Answers a word, and when it expires.
SELECT outcome, expires_at FROM tenancy.resend_invitation($1, $2, $3, $4, $5)
