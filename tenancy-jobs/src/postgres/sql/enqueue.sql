-- role: app
-- Stores jobs without idempotency keys. $1 tenant, $2 queue, $3 principal, $4 request, then one
-- array each: $5 ids, $6 kinds, $7 payloads (JSON text), $8 times (NULL: now), $9 most attempts,
-- $10 milliseconds for a try, $11 priorities. Writes: primary key, jobs_ready or jobs_held.
INSERT INTO tenancy.jobs (
    tenant_id, id, request_id, run_at, timeout_ms, max_attempts, priority, state, queue, kind,
    payload, principal
)
SELECT $1, n.id, $4, coalesce(n.run_at, clock_timestamp()), n.timeout_ms, n.max_attempts, n.priority,
    CASE WHEN n.run_at > clock_timestamp() THEN 'scheduled' ELSE 'ready' END, $2, n.kind,
    n.payload::jsonb, $3
FROM unnest($5::uuid[], $6::text[], $7::text[], $8::timestamptz[], $9::integer[], $10::integer[], $11::smallint[])
    AS n (id, kind, payload, run_at, max_attempts, timeout_ms, priority)
