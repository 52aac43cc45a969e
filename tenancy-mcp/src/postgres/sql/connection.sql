-- role: app
-- One connection. $1 tenant, $2 key. Index: mcp_connections (tenant_id, key).
SELECT c.id AS c_id, c.key AS c_key, c.provider AS c_provider, c.status AS c_status, c.status_reason AS c_status_reason,
    c.status_at AS c_status_at, c.credential_id AS c_credential_id, c.generation AS c_generation,
    c.protocol AS c_protocol, c.created_by AS c_created_by, c.created_at AS c_created_at
FROM tenancy.mcp_connections c
WHERE c.tenant_id = $1 AND c.key = $2
