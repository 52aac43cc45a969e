-- role: worker
-- Gives out the oldest events. $1 tenants, $2 how many of each, $3 how many in all, $4 milliseconds of the
-- lease. Index: webhook_events_due.
SELECT tenant_id, id, attempt, endpoints, body FROM tenancy.webhook_events_claim($1, $2, $3, $4)
