-- role: worker
-- Tenants with events, and whether one of these is due. $1 behind which, $2 how many. Index:
-- webhook_events_due.
SELECT tenant_id, ready FROM tenancy.webhook_event_tenants($1, $2)
