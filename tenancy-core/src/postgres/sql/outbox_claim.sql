-- role: worker
-- Gives out what is due. $1 how many, $2 milliseconds of the lease. Index: outbox_due.
SELECT open, tenant_id, id, request_id, attempt, kind, idempotency_key, payload, principal, max_attempts,
    timeout_ms, priority
FROM tenancy.outbox_claim($1, $2)
