-- role: app
-- The call of a key, without a lock. $1 tenant, $2 tool, $3 key.
-- Index: primary key of mcp_invocations.
SELECT i.tool_id, i.idem_key, i.fingerprint, i.effect_class, i.state, i.fence, i.attempt,
    greatest(0, ceil(1000 * extract(epoch FROM
        coalesce(i.lease_until, i.next_attempt_at) - clock_timestamp())))::bigint AS wait_ms,
    i.response, i.response_hash, i.response_size, i.error, i.created_at
FROM tenancy.mcp_invocations i
WHERE i.tenant_id = $1 AND i.tool_id = $2 AND i.idem_key = $3
