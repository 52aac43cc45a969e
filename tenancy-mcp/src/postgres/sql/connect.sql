-- role: app
-- Makes a connection, or makes it anew. $1 id for a new one, $2 key, $3 provider, $4 credential.
SELECT tenancy.mcp_connect($1, $2, $3, $4)
