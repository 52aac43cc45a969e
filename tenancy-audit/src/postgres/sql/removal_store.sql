-- role: operator (tenancy_owner)
-- Keeps a signed removal. Parameters: tenant, id, places in pairs, reason, time, key, signature.
SELECT tenancy.audit_removal_store($1, $2, $3, $4, $5, $6, $7)
