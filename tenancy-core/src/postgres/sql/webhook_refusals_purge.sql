-- role: worker
-- Forgets refusals of messages whose story is over; how many. $1 seconds since the last one, $2 how many.
-- Index: webhook_refusals_old.
SELECT tenancy.webhook_refusals_purge($1, $2)
