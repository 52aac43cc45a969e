-- role: app
-- Compares a server's list with what is known. $1 connection, $2 generation, then side by side:
-- $3 ids for new ones, $4 names, $5 definitions, $6 hashes.
SELECT tool_name, change FROM tenancy.mcp_observe_tools($1, $2, $3, $4, $5, $6)
