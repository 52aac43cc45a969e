-- role: app
-- Counts that a receiver refused a message; how often it has. What is older than 30 days goes: its job
-- ended in another way. $1 tenant, $2 endpoint, $3 id of the message. Index: primary key of
-- webhook_refusals.
WITH old AS (
    DELETE FROM tenancy.webhook_refusals
    WHERE tenant_id = $1 AND last_at < clock_timestamp() - interval '30 days' AND (endpoint, message) <> ($2, $3)
)
INSERT INTO tenancy.webhook_refusals AS r (tenant_id, endpoint, message) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, endpoint, message) DO UPDATE
SET refusals = r.refusals + 1, last_at = excluded.last_at
RETURNING refusals
