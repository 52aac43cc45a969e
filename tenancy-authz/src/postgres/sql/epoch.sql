-- role: app
-- Counts the changes of a tenant's rights. $1 tenant. Index: primary key of tenant_epoch.
SELECT epoch FROM tenancy.tenant_epoch WHERE tenant_id = $1
