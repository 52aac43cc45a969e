-- role: operator (tenancy_owner)
-- Erases details of entries. Parameters: tenant; ids; personal details before and after.
SELECT tenancy.audit_erase_details($1, $2, $3, $4)
