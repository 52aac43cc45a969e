-- role: worker
-- Forgets old events of the platform log; how many. $1 seconds for which they are kept, $2 how many.
-- Index: platform_log_event.
SELECT tenancy.platform_log_prune($1, $2)
