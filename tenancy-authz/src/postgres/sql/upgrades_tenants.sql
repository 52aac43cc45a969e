-- role: operator
-- A page of the tenants in which upgrades of roles are not in the audit log. $1 after this tenant (or
-- NULL), $2 limit. Index: role_upgrades_unrecorded.
SELECT tenancy.tenants_with_upgrades($1, $2)
