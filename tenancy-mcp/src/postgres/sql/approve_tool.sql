-- role: app
-- Approves what a server offers. $1 tool, $2 hash seen, $3 effect class, $4 and $5 place of the key.
SELECT tenancy.mcp_approve_tool($1, $2, $3, $4, $5)
