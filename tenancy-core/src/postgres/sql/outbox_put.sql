-- role: app
-- Stores work, unless its key is known; the id if it was stored. A key that another transaction is
-- storing is waited for. $1 tenant, $2 id, $3 request, $4 not before (NULL: now), $5 milliseconds
-- for a try, $6 most attempts, $7 priority, $8 kind, $9 key or NULL, $10 payload, $11 principal.
-- Index: outbox_key.
INSERT INTO tenancy.outbox (
    tenant_id, id, request_id, due_at, timeout_ms, max_attempts, priority, kind, idempotency_key, payload, principal
)
VALUES ($1, $2, $3, coalesce($4, clock_timestamp()), $5, $6, $7, $8, $9, $10::text::jsonb, $11)
ON CONFLICT (tenant_id, kind, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id
