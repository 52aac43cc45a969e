-- role: worker
-- Settles what is done and claims what is next, in one statement and so in one commit.
-- $1 worker; one array each: $2 tenants, $3 ids, $4 attempts, $5 outcomes, $6 delays in ms,
-- $7 results, $8 codes, $9 messages, $10 done, $11 total; $12 queue, $13 kinds, $14 tenant served
-- last, $15 limit. Index: primary key of jobs, jobs_ready, jobs_held.
SELECT true AS stale, s.stale_tenant AS tenant_id, s.stale_id AS id, NULL::integer AS attempt,
    NULL::integer AS max_attempts, NULL::text AS kind, NULL::jsonb AS payload, NULL::jsonb AS principal,
    NULL::uuid AS request_id, NULL::integer AS timeout_ms, NULL::smallint AS priority
FROM tenancy.jobs_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) s
UNION ALL
SELECT false, c.tenant_id, c.id, c.attempt, c.max_attempts, c.kind, c.payload, c.principal,
    c.request_id, c.timeout_ms, c.priority
FROM tenancy.jobs_claim($1, $12, $13, $14, $15) c
