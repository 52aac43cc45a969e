-- role: operator (tenancy_owner)
-- Keeps a signed adoption. Parameters: tenant, id, seals, entries, loose entries, numbers and hashes of lost seals,
-- reason, time, key, signature.
SELECT tenancy.audit_adoption_store($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
