-- role: app
-- A connection's tools, by name. $1 tenant, $2 connection's key.
-- Index: mcp_connections (tenant_id, key), then mcp_tools (tenant_id, connection_id, name).
SELECT t.id AS t_id, t.connection_id AS t_connection_id, t.name AS t_name, t.title AS t_title,
    t.description AS t_description, t.input_schema AS t_input_schema, t.output_schema AS t_output_schema,
    t.annotations AS t_annotations, t.definition_hash AS t_definition_hash, t.offered AS t_offered,
    t.effect_class AS t_effect_class, t.key_place AS t_key_place, t.key_name AS t_key_name,
    t.status AS t_status, t.approved_by AS t_approved_by, t.approved_at AS t_approved_at
FROM tenancy.mcp_connections c
JOIN tenancy.mcp_tools t ON t.tenant_id = c.tenant_id AND t.connection_id = c.id
WHERE c.tenant_id = $1 AND c.key = $2
ORDER BY t.name
LIMIT 1000
