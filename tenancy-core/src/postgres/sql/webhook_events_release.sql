-- role: worker
-- Takes parked events up again, or drops them; how many. $1 tenants, $2 ids beside them, $3 whether to
-- drop them. Index: primary key of webhook_events.
SELECT tenancy.webhook_events_release($1, $2, $3)
