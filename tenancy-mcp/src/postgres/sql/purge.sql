-- role: worker
-- Deletes old calls of all tenants. $1 how long they are kept in s, $2 limit.
-- Index: mcp_invocations_old.
SELECT tenancy.mcp_purge($1::bigint * interval '1 second', $2)
