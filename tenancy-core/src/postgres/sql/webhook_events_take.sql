-- role: worker
-- Takes the oldest events of all tenants, until the transaction commits. $1 how many. Index:
-- webhook_events_order.
SELECT id, endpoints, body FROM tenancy.webhook_events_take($1)
