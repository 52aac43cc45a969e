-- role: app
-- Offers the place of the context's owner. $1 id, $2 to whom, $3 for how long.
-- Answers a word, and until when.
SELECT outcome, expires_at FROM tenancy.offer_ownership($1, $2, $3)
