-- role: app
-- The work that has this key. $1 tenant, $2 kind, $3 key. Index: outbox_key.
SELECT id FROM tenancy.outbox WHERE tenant_id = $1 AND kind = $2 AND idempotency_key = $3
