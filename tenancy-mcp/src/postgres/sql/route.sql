-- role: app
-- All that a call needs to know, the tenant's state included. $1 tenant, $2 connection's key, $3 tool's name.
-- Index: mcp_connections (tenant_id, key), then mcp_tools (tenant_id, connection_id, name).
SELECT p.key AS p_key, p.name AS p_name, p.transport AS p_transport, p.endpoint AS p_endpoint, p.auth AS p_auth,
    p.auth_header AS p_auth_header, p.rejects_before_work AS p_rejects_before_work, p.allowed AS p_allowed,
    c.id AS c_id, c.key AS c_key, c.provider AS c_provider, c.status AS c_status, c.status_reason AS c_status_reason,
    c.status_at AS c_status_at, c.credential_id AS c_credential_id, c.generation AS c_generation,
    c.protocol AS c_protocol, c.created_by AS c_created_by, c.created_at AS c_created_at,
    t.id AS t_id, t.connection_id AS t_connection_id, t.name AS t_name, t.title AS t_title,
    t.description AS t_description, t.input_schema AS t_input_schema, t.output_schema AS t_output_schema,
    t.annotations AS t_annotations, t.definition_hash AS t_definition_hash, t.offered AS t_offered,
    t.effect_class AS t_effect_class, t.key_place AS t_key_place, t.key_name AS t_key_name,
    t.status AS t_status, t.approved_by AS t_approved_by, t.approved_at AS t_approved_at,
    n.status AS tenant_status
FROM tenancy.mcp_connections c
JOIN tenancy.mcp_providers p ON p.key = c.provider
JOIN tenancy.mcp_tools t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
JOIN tenancy.tenants n ON n.id = c.tenant_id
WHERE c.tenant_id = $1 AND c.key = $2 AND t.name = $3
