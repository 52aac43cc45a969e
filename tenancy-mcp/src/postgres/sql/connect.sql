-- role: app
-- Makes a connection, or makes it anew. $1 id for a new one, $2 key, $3 provider, $4 credential,
-- $5 how many a tenant may have.
SELECT tenancy.mcp_connect($1, $2, $3, $4, $5)
