-- role: app
-- Ends an open offer. $1 id, $2 `accepted`, `declined` or `revoked`. Answers a word, and who made it.
SELECT outcome, from_user FROM tenancy.settle_offer($1, $2)
