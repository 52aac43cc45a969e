-- role: worker
-- Ends hand-overs, fenced by the attempt; how many were settled. One array each: $1 tenants, $2 ids,
-- $3 attempts, $4 errors (NULL: it went well), $5 milliseconds until the next try.
-- Index: primary key of outbox.
SELECT tenancy.outbox_settle($1, $2, $3, $4, $5)
