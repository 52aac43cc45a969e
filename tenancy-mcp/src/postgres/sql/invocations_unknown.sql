-- role: app
-- Calls whose outcome is unknown, oldest first. $1 tenant, $2 limit.
-- Index: mcp_invocations_open.
SELECT i.tool_id, i.idem_key, i.fingerprint, i.effect_class, i.state, i.fence, i.attempt,
    greatest(0, ceil(1000 * extract(epoch FROM
        coalesce(i.lease_until, i.next_attempt_at) - clock_timestamp())))::bigint AS wait_ms,
    i.response, i.response_hash, i.response_size, i.error, i.created_at
FROM tenancy.mcp_invocations i
WHERE i.tenant_id = $1 AND i.state IN ('dispatched', 'unknown')
  AND (i.state = 'unknown' OR (i.effect_class = 'unsafe' AND i.lease_until <= clock_timestamp()))
ORDER BY i.created_at
LIMIT $2
