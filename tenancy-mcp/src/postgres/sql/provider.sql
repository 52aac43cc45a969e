-- role: app
-- One provider. $1 key. Index: primary key of mcp_providers.
SELECT p.key AS p_key, p.name AS p_name, p.transport AS p_transport, p.endpoint AS p_endpoint, p.auth AS p_auth,
    p.auth_header AS p_auth_header, p.rejects_before_work AS p_rejects_before_work, p.allowed AS p_allowed
FROM tenancy.mcp_providers p
WHERE p.key = $1
