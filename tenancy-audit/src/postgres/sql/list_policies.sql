-- role: operator (tenancy_owner)
-- The next policies of retention. Parameters: tenant and action of the one behind which to go on, or NULL;
-- how many at most.
SELECT tenant_id, action, keep_days, reason FROM tenancy.audit_list_policies($1, $2, $3)
