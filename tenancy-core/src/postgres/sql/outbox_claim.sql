-- role: worker
-- Gives out what is due. $1 tenants, $2 how many of each, $3 how many in all, $4 milliseconds of the
-- lease. Index: outbox_due.
SELECT tenant_id, id, request_id, attempt, kind, idempotency_key, payload, principal, max_attempts,
    timeout_ms, priority
FROM tenancy.outbox_claim($1, $2, $3, $4)
