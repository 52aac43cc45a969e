-- role: app
-- One job, living or ended. $1 tenant, $2 id. Index: primary keys.
SELECT j.id, j.queue, j.kind, j.state, j.priority, j.attempt, j.max_attempts, j.enqueued_at, j.run_at,
    j.started_at, NULL::timestamptz AS finished_at, j.request_id, j.payload, NULL::jsonb AS result,
    j.error_code, j.error, p.done, p.total
FROM tenancy.jobs j
LEFT JOIN tenancy.job_progress p ON p.tenant_id = j.tenant_id AND p.job_id = j.id
WHERE j.tenant_id = $1 AND j.id = $2
UNION ALL
SELECT d.id, d.queue, d.kind, d.state, d.priority, d.attempt, d.max_attempts, d.enqueued_at, NULL,
    d.started_at, d.died_at, d.request_id, d.payload, NULL, d.error_code, d.error, p.done, p.total
FROM tenancy.job_dead d
LEFT JOIN tenancy.job_progress p ON p.tenant_id = d.tenant_id AND p.job_id = d.id
WHERE d.tenant_id = $1 AND d.id = $2
UNION ALL
SELECT h.id, h.queue, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.enqueued_at, NULL,
    h.started_at, h.finished_at, h.request_id, NULL, h.result, h.error_code, h.error, h.done, h.total
FROM tenancy.job_history h
WHERE h.tenant_id = $1 AND h.id = $2
LIMIT 1
