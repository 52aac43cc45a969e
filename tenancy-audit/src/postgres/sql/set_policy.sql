-- role: operator (tenancy_owner)
-- Sets a policy of retention. Parameters: tenant or nil; action, `prefix%` or empty; days; reason.
SELECT tenancy.audit_set_policy($1, $2, $3, $4)
