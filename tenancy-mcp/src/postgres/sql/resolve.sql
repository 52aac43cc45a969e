-- role: app
-- Settles a call whose outcome is unknown. $1 tool, $2 key, $3 outcome, $4 response, $5 its hash,
-- $6 its size, $7 error. Index: primary key of mcp_invocations.
SELECT tenancy.mcp_resolve($1, $2, $3, $4, $5, $6, $7)
