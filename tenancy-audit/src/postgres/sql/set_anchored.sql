-- role: worker
-- Says what a place has. Parameters: place, tenants, the number of the newest seal of each.
SELECT tenancy.audit_set_anchored($1, $2, $3)
