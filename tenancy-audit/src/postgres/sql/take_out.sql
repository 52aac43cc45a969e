-- role: operator (tenancy_owner)
-- Takes sealed entries of a tenant out of the log. Parameters: tenant; action, or `prefix%`, or NULL for
-- all; older than; how many at most.
SELECT state, ids FROM tenancy.audit_take_out($1, $2, $3, $4)
