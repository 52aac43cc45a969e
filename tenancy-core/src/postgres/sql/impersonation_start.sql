-- role: app
-- Begins a session of the context's actor for whom he acts for. $1 id, $2 reason, $3 for how long.
-- Answers a word, since when, and until when.
SELECT outcome, started_at, expires_at FROM tenancy.start_impersonation($1, $2, $3)
