-- role: worker
-- Gives out the oldest events of all tenants. $1 how many, $2 milliseconds of the lease. Index:
-- webhook_events_due.
SELECT tenant_id, id, attempt, own, endpoints, body FROM tenancy.webhook_events_claim($1, $2)
