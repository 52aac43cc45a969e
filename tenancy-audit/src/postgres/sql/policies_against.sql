-- role: operator (tenancy_owner)
-- The policies that such a one contradicts. Parameters: tenant or nil; action, `prefix%` or empty; days.
SELECT tenant_id, action, keep_days, reason FROM tenancy.audit_policies_against($1, $2, $3)
