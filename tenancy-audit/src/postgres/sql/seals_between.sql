-- role: operator (tenancy_owner)
-- Seals that may hold entries of a stretch of ids. Parameters: tenant; first and last id; behind which
-- number; how many at most.
SELECT number, first_entry, ids FROM tenancy.audit_seals_between($1, $2, $3, $4, $5)
