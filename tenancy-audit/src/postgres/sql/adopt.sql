-- role: operator (tenancy_owner)
-- Goes on behind everything that is there, in this cluster. No parameters.
SELECT tenancy.audit_adopt()
