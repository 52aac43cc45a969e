INSERT INTO tenancy.mcp_providers (key, name, transport, endpoint, auth)
VALUES ('crm', 'CRM', 'http', 'https://crm.example/mcp', 'none')
ON CONFLICT DO NOTHING
