-- role: app
-- Takes an approval back. $1 tool.
SELECT tenancy.mcp_revoke_tool($1)
