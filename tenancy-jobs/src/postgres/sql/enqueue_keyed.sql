-- role: app
-- Stores jobs of which some have idempotency keys, and answers the ids that were stored: a job
-- whose key is taken is not. Parameters as in enqueue.sql, then $12 hashes of keys (NULL: none)
-- and $13 seconds for which a key outlives its job. A key that another transaction is storing is
-- waited for; keys are taken in one order, so that two calls can't wait for each other.
-- Index: primary key of job_keys.
WITH new AS MATERIALIZED (
    SELECT *
    FROM unnest($5::uuid[], $6::text[], $7::text[], $8::timestamptz[], $9::integer[], $10::integer[],
        $11::smallint[], $12::bytea[])
        AS n (id, kind, payload, run_at, max_attempts, timeout_ms, priority, key_hash)
), first AS (
    SELECT DISTINCT ON (n.key_hash) n.key_hash, n.id
    FROM new n
    WHERE n.key_hash IS NOT NULL
    ORDER BY n.key_hash, n.id
), taken AS (
    INSERT INTO tenancy.job_keys AS k (tenant_id, key_hash, job_id, retain_seconds)
    SELECT $1, f.key_hash, f.id, $13 FROM first f ORDER BY f.key_hash
    ON CONFLICT (tenant_id, key_hash) DO UPDATE
    SET job_id = excluded.job_id, retain_seconds = excluded.retain_seconds, expires_at = NULL
    WHERE k.expires_at <= clock_timestamp()
    RETURNING k.job_id
)
INSERT INTO tenancy.jobs (
    tenant_id, id, request_id, run_at, timeout_ms, max_attempts, priority, state, queue, kind,
    key_hash, payload, principal
)
SELECT $1, n.id, $4, coalesce(n.run_at, clock_timestamp()), n.timeout_ms, n.max_attempts, n.priority,
    CASE WHEN n.run_at > clock_timestamp() THEN 'scheduled' ELSE 'ready' END, $2, n.kind,
    n.key_hash, n.payload::jsonb, $3
FROM new n
WHERE n.key_hash IS NULL OR n.id IN (SELECT t.job_id FROM taken t)
RETURNING id
