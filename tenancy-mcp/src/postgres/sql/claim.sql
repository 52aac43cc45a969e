-- role: app
-- Asks for the right to send a call. $1 tool, $2 key, $3 fingerprint, $4 definition's hash,
-- $5 owner, $6 lease in ms. Index: primary key of mcp_invocations.
SELECT verdict, fence, attempt, may_repeat, wait_ms
FROM tenancy.mcp_claim($1, $2, $3, $4, $5, $6::bigint * interval '1 millisecond')
