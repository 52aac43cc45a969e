-- role: app
-- Ends a claimed call. $1 tool, $2 key, $3 fence, $4 outcome, $5 response, $6 its hash, $7 its
-- size, $8 error, $9 wait before the next try in ms. Index: primary key of mcp_invocations.
SELECT tenancy.mcp_complete($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint * interval '1 millisecond')
