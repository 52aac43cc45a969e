-- role: worker
-- A page of what is parked. $1 and $2 tenant and id of the event behind which (NULL: from the first), $3
-- how many. Index: webhook_events_parked.
SELECT tenant_id, id, recorded_at, parked_at, endpoints, error_code, error
FROM tenancy.webhook_events_parked($1, $2, $3)
