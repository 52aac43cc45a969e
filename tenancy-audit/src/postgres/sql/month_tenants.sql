-- role: operator (tenancy_owner)
-- Whose entries a stretch of ids holds. Parameters: first id, and the one behind the last.
SELECT tenant_id, entries, unsealed, held FROM tenancy.audit_month_tenants($1, $2)
