-- role: app
-- Opens the context's tenant to support. $1 id, $2 for how long, $3 whether they may write, $4 whether
-- they may act for owners. Answers a word, and until when.
SELECT outcome, expires_at FROM tenancy.grant_support($1, $2, $3, $4)
