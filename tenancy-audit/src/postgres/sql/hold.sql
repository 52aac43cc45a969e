-- role: operator (tenancy_owner)
-- Places or lifts a hold on the log of a tenant that is gone. Parameters: tenant, reference, whether to place it.
SELECT tenancy.audit_hold($1, $2, $3)
