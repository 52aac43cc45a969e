-- role: operator (tenancy_owner)
-- Takes a policy of retention away. Parameters: tenant or nil; action, `prefix%` or empty.
SELECT tenancy.audit_unset_policy($1, $2)
