-- role: app
-- Moves a connection along an arrow. $1 id, $2 generation, $3 to, $4 reason, $5 protocol.
SELECT tenancy.mcp_set_connection_status($1, $2, $3, $4, $5)
