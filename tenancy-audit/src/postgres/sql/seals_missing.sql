-- role: operator (tenancy_owner)
-- Of seals those that are not there, by their places from 1 on. Parameters: tenants, numbers, hashes. Index: primary
-- key.
SELECT tenancy.audit_seals_missing($1, $2, $3)
