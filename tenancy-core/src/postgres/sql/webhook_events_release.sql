-- role: worker
-- Takes parked events up again, or drops them; how many. $1 ids, $2 whether to drop them. Index:
-- webhook_events_parked.
SELECT tenancy.webhook_events_release($1, $2)
