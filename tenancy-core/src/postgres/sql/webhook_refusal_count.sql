-- role: app
-- Counts that a receiver refused a message; how often it has. $1 tenant, $2 endpoint, $3 id of the
-- message. Index: primary key of webhook_refusals.
INSERT INTO tenancy.webhook_refusals AS r (tenant_id, endpoint, message) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, endpoint, message) DO UPDATE
SET refusals = r.refusals + 1, last_at = excluded.last_at
RETURNING refusals
