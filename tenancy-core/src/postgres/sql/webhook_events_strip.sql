-- role: operator
-- Takes the details out of the events of a tenant that is purged; the last one it looked at, while there
-- may be more. $1 behind which, $2 how many. Index: primary key of webhook_events.
SELECT tenancy.webhook_events_strip($1, $2)
