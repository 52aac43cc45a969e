-- role: app
-- Ends the tries of the tenant whose callers are gone. $1 tool and $2 key of the one call (or NULL),
-- $3 limit. Index: primary key of mcp_invocations, mcp_invocations_leased.
SELECT tool_id, tool, idem_key, effect_class, state, attempt, caller, request_id
FROM tenancy.mcp_end_lost($1, $2, $3)
