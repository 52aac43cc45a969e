-- role: worker
-- Forgets old keys; how many. $1 seconds for which they are kept, $2 how many. Index: outbox_delivered.
SELECT tenancy.outbox_purge($1, $2)
