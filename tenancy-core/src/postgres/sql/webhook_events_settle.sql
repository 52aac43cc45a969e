-- role: worker
-- Ends claims, fenced by the attempt; how many were settled. One array each: $1 tenants, $2 ids,
-- $3 attempts, $4 told, parked or back, $5 codes of what was parked, $6 why. Index: primary key of
-- webhook_events.
SELECT tenancy.webhook_events_settle($1, $2, $3, $4, $5, $6)
