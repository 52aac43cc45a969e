WITH connection AS (
    INSERT INTO tenancy.mcp_connections (tenant_id, id, key, provider)
    VALUES ($1, gen_random_uuid(), 'crm', 'crm') RETURNING id
), tool AS (
    INSERT INTO tenancy.mcp_tools (tenant_id, id, connection_id, name, input_schema, definition_hash)
    SELECT $1, gen_random_uuid(), c.id, 'send', '{}', sha256('x') FROM connection c RETURNING id
)
INSERT INTO tenancy.mcp_invocations (tenant_id, tool_id, idem_key, fingerprint, definition_hash, effect_class,
    state, fence, attempt, lease_owner, lease_until, response, response_hash, response_size, completed_at)
SELECT $1, t.id, c.key, sha256('x'), sha256('x'), 'unsafe', c.state, 1, 1, c.owner, c.until, c.response,
    sha256(c.response::bytea), octet_length(c.response), c.completed
FROM tool t CROSS JOIN (VALUES
    ('lost', 'dispatched', gen_random_uuid(), now() - interval '1 minute', NULL, NULL::timestamptz),
    ('alive', 'dispatched', gen_random_uuid(), now() + interval '1 hour', NULL, NULL),
    ('old', 'succeeded', NULL, NULL, '{}', now() - interval '8 days')
) AS c (key, state, owner, until, response, completed)
